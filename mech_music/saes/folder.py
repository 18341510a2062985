"""The folder of an SAE, found without reading it."""

from __future__ import annotations

from pathlib import Path

from mech_music.base.content import folder_content
from mech_music.saes.named import SaeFile

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"


def find_sae(folder: str) -> SaeFile:
    """The SAE in a folder, named by its content. UserError if there is none."""
    place = Path(folder).expanduser()
    fix = f"give sae.path a folder with {CONFIG} and {WEIGHTS}, or null to train one"
    return SaeFile(folder_content("SAE", place, (WEIGHTS, CONFIG), fix), str(place))
