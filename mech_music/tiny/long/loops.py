"""The first stage of the language model: a few beats over and over, in short crops, until it has learnt to copy.

Attention that finds where the last notes occurred before pays at every note here, and in whole pieces only at returns,
20 seconds later; there it was not learnt within 1,500 steps of 8 pieces.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.tiny.language_model import Lesson
from mech_music.tiny.long.composition import compose
from mech_music.tiny.long.data import Workspace
from mech_music.tiny.long.language_model import looped, loss_of, texts_of, train

CROP = 96
"""Frames."""


def run(workspace: Workspace) -> None:
    """The stage ``loops``."""
    settings, pieces = workspace.config.loops, [compose(n) for n in range(workspace.config.pieces.train)]

    def change(codes: Tensor, rows: Int[np.ndarray, " row"], random: np.random.Generator) -> Tensor:
        return torch.stack([looped(one, pieces[row], CROP, 4, random) for one, row in zip(codes, rows, strict=True)])

    lesson = Lesson(settings.steps, range(len(pieces)), change)
    train(workspace, "loops", settings, texts_of(workspace.config, [lesson]), loss_of)
