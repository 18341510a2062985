"""The first stage of the language model: a few beats over and over, in short crops, until it has learnt to copy.

Attention that finds where the last notes occurred before pays at every note here, and in whole pieces only at returns,
20 seconds later; there it was not learnt within 1,500 steps of 8 pieces.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.tiny import language_model, loop
from mech_music.tiny.language_model import Lesson, Texts
from mech_music.tiny.long.attention import in_bfloat16
from mech_music.tiny.long.composition import compose
from mech_music.tiny.long.data import Workspace, vocabulary
from mech_music.tiny.long.language_model import PROMPT_LENGTH, looped, loss_of

CROP = 96
"""Frames."""


def run(workspace: Workspace) -> None:
    """The stage ``loops``."""
    torch.set_num_threads(1)  # products of matrices this small are no faster on two
    config, codes = workspace.config, workspace.load_tensors("codes")["train"]
    pieces = [compose(number) for number in range(config.pieces.train)]

    def change(codes: Tensor, rows: Int[np.ndarray, " row"], random: np.random.Generator) -> Tensor:
        return torch.stack([looped(one, pieces[row], CROP, 4, random) for one, row in zip(codes, rows, strict=True)])

    lessons = (Lesson(config.loops.steps, range(len(pieces)), change),)
    texts = Texts([piece.prompt for piece in pieces], vocabulary(), {PROMPT_LENGTH: 1.0}, lessons)
    model = language_model.build(workspace, config, vocabulary())
    how = (config.loops.batch, config.language_model.condition_dropout)
    trainer = language_model.Trainer(workspace, model, "loops", how, codes, texts, in_bfloat16, loss_of)
    loop.train(workspace, "loops", model, config.loops, trainer.loss)
    workspace.save_tensors("loops", model.state_dict())
