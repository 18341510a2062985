"""The files of a symbolic model: its shape and grid in ``config.json``, its weights in ``weights.safetensors``, and
what it was trained on in ``card.json`` (the bundled one has a README in its place)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.models.symbolic.decoder import Decoder, Shape
from mech_music.models.symbolic.notes import Grid

CARD = "card.json"
FILES = ("config.json", "weights.safetensors")


def save_decoder(decoder: Decoder, folder: Path, card: Mapping[str, Any] | None = None) -> None:
    """Write the files, the weights in float16. UserError if that is not possible."""
    half = {name: tensor.half().contiguous() for name, tensor in decoder.state_dict().items()}
    with replacing(folder / "weights.safetensors") as path:
        save_file(half, path)
    with replacing(folder / "config.json") as path:
        written = {"shape": asdict(decoder.shape), "grid": decoder.grid.to_dict()}
        path.write_text(json.dumps(written, indent=1) + "\n")
    if card is not None:
        with replacing(folder / CARD) as path:
            path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")


def read_card(folder: Path) -> dict[str, Any]:
    """What the model in a folder was trained on; empty where nobody wrote it. UserError for one that is no card."""
    if not (folder / CARD).is_file():
        return {}
    try:
        found = json.loads((folder / CARD).read_text())
        found["corpus"]["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{folder / CARD}' cannot be read ({first_line(error)}): train or copy the model again"
        ) from None
    return found


def read_config(folder: Path) -> tuple[Shape, Grid]:
    """The shape and the grid of the model in a folder. UserError for files that are missing or do not fit."""
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"'{folder}' has no {name}: model.path is a folder with {' and '.join(FILES)}")
    try:
        written = json.loads((folder / "config.json").read_text())
        return Shape(**written["shape"]), Grid.from_dict(written["grid"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the model in '{folder}' cannot be read ({first_line(error)}): train or copy it again"
        ) from None


def load_decoder(folder: Path) -> Decoder:
    """The decoder in a folder, in float32. UserError for files that are missing or do not fit."""
    decoder = Decoder(*read_config(folder))
    try:
        decoder.load_state_dict({name: one.float() for name, one in load_file(folder / "weights.safetensors").items()})
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            f"the model in '{folder}' cannot be read ({first_line(error)}): train or copy it again"
        ) from None
    return decoder.eval()
