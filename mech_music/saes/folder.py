"""The folder of an SAE, found without reading it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mech_music.base.errors import UserError
from mech_music.saes.named import SaeFile

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"


def find_sae(folder: str) -> SaeFile:
    """The SAE in a folder, named by its content. UserError if there is none."""
    place = Path(folder).expanduser()
    content = hashlib.sha256()
    try:
        for name in (WEIGHTS, CONFIG):
            content.update((place / name).read_bytes())
    except OSError as error:
        raise UserError(
            f"no SAE in '{folder}' ({Path(error.filename or '').name}: {error.strerror}): give sae.path a folder with "
            f"{CONFIG} and {WEIGHTS}, or null to train one"
        ) from None
    return SaeFile(content.hexdigest(), str(place))
