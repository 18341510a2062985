"""A tuned lens as two files that can be shared: its maps, and the model that they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mech_music.base.atomic import replacing
from mech_music.base.content import folder_content
from mech_music.base.errors import UserError, first_line
from mech_music.base.paths import user_path
from mech_music.edits.row import Fit, LensFile
from mech_music.lenses.readout import Translation

WEIGHTS, CONFIG = "lens.safetensors", "lens.json"


def write_lens(
    maps: Mapping[str, tuple[np.ndarray, np.ndarray]], fit: Fit, model: str, weights: str, folder: Path
) -> None:
    """Write ``lens.safetensors`` (``<hook>.weight``, ``<hook>.bias``) and ``lens.json``.

    ``model``: its name, for people; ``weights``: the fingerprint of its checkpoint, which a reader must have.
    """
    tensors = {
        f"{hook}.{part}": tensor
        for hook, both in maps.items()
        for part, tensor in zip(("weight", "bias"), both, strict=True)
    }
    about = {
        "model": model,
        "weights": weights,
        "hooks": list(maps),
        "fit": {**asdict(fit), "prompts": fit.prompts.digest},
    }
    with replacing(folder / WEIGHTS) as partial:
        partial.write_bytes(save(tensors))
    with replacing(folder / CONFIG) as partial:
        partial.write_text(json.dumps(about, indent=2) + "\n")


def find_lens(folder: str) -> LensFile:
    """The lens in a folder, named by its content. UserError if there is none."""
    place = user_path(folder)
    fix = "give lens.path the output folder of task=tuned_lens, or null to train one"
    return LensFile(folder_content("lens", place, (WEIGHTS, CONFIG), fix), str(place))


def read_lens(lens: LensFile, weights: str) -> dict[str, Translation]:
    """The maps by hook name. UserError if they are damaged, or of a model with other ``weights``."""
    folder = Path(lens.path)
    try:
        about = json.loads((folder / CONFIG).read_text())
        tensors = load((folder / WEIGHTS).read_bytes())
        maps = {hook: _map(tensors, hook) for hook in about["hooks"]}
        model, own = str(about["model"]), str(about["weights"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"the lens in '{folder}' cannot be read ({first_line(error)}): train it again with task=tuned_lens"
        ) from None
    if own != weights:
        raise UserError(
            f"the lens in '{folder}' was trained on another model ('{model}', weights {own[:12]}…, not "
            f"{weights[:12]}…): train one for this model with task=tuned_lens"
        )
    return maps


def _map(tensors: Mapping[str, np.ndarray], hook: str) -> Translation:
    weight, bias = (torch.from_numpy(tensors[f"{hook}.{part}"]) for part in ("weight", "bias"))
    return Translation(weight, bias)
