"""A baseline without a memory: the same language model, trained on crops of four seconds and never shown more.

(A window of attention in a deep model would not do: what lies outside it leaks in through the layers.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from audiocraft.models.lm import LMModel
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.tiny import language_model, loop
from mech_music.tiny.long import language_model as long
from mech_music.tiny.long.data import Workspace, first_vocabulary

CONTEXT = 50
"""Frames of a crop."""
_STRIDE = 10


def _loss_of_crop(model: LMModel, codes: Int[Tensor, "row codebook frame"], text: dict[str, Any]) -> Float[Tensor, ""]:
    """A step seeds torch's generator, so the crop is the step's own."""
    start = int(torch.randint(codes.shape[2] - CONTEXT + 1, ()))
    return long.loss_of(model, codes[:, :, start : start + CONTEXT], text)


def run(workspace: Workspace) -> None:
    """The stage ``short``."""
    long.train(workspace, "short", workspace.config.short, long.texts_of(workspace.config), _loss_of_crop)


def losses(
    workspace: Workspace, codes: Int[Tensor, "row codebook frame"], prompts: Sequence[str]
) -> Float[np.ndarray, "row codebook frame"]:
    """Nats of every code given 40 to 49 frames before it (fewer where a piece begins), by the baseline of a folder.

    UserError if there is none in the folder, or it is of another config.
    """
    state = workspace.load_tensors("short")
    model = language_model.build(workspace, workspace.config, first_vocabulary())
    model.load_state_dict(state)
    found = np.zeros(codes.shape, np.float32)
    for start in loop.tracked(range(0, codes.shape[2] - CONTEXT + 1, _STRIDE), "context of 4 s"):
        nats = long.losses(model.eval(), codes[:, :, start : start + CONTEXT], prompts)
        fresh = 0 if start == 0 else CONTEXT - _STRIDE
        found[:, :, start + fresh : start + CONTEXT] = nats[:, :, fresh:]
    return found
