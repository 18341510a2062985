"""The dual-contrastive SAEs published for MusicGen-large: folders with ``model.json`` and ``model.safetensors``.

Their card (huggingface.co/chen-jan/dcsae-musicgen) tells of layer 24's 2,048 numbers, two codes of 32,768 features with
50 active in each, and float32 weights; it names no tensor, and does not say how both codes are decoded. So nothing is
guessed: the line says what the files hold.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

from mech_music.base.errors import UserError
from mech_music.saes.sae import Sae

WEIGHTS = "model.safetensors"


def read(folder: Path) -> Sae:
    """UserError: recognised, not read."""
    with safe_open(folder / WEIGHTS, "pt") as file:
        found = ", ".join(f"{name} {file.get_slice(name).get_shape()}" for name in file.keys())  # noqa: SIM118
    raise UserError(
        f"the SAE in '{folder}' is in the DC-SAE releases' format, whose card does not say how its tensors ({found}) "
        "make features: write what you know of them as SAELens' files (mech_music.saes.files.write_sae)"
    )
