"""Training on planted pieces: batches that are a function of (seed, step), so that it may stop at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.models.symbolic.attributes import ATTRIBUTES, controls_of
from mech_music.models.symbolic.decoder import Decoder
from mech_music.models.symbolic.pieces import GRID, Piece, compose
from mech_music.models.symbolic.settings import SymbolicConfig
from mech_music.tiny import loop
from mech_music.tiny.workspace import StageFolder

STAGE = "decoder"
HELD_OUT = 1_000_000_000
"""Pieces from this number on are never trained on."""
_ENDS = 2  # frames after the last note that are learnt


class SymbolicFolder(StageFolder):
    """The folder of one training run."""

    def __init__(self, config: SymbolicConfig) -> None:
        super().__init__(config.folder, config.seed)
        self.config = config

    def recipe(self, stage: str) -> dict[str, Any]:
        """Everything but folders, and how often to save."""
        found = asdict(self.config)
        del found["folder"], found["bundle"], found["loop"]["save_every"]
        return found


def batch_of(
    decoder: Decoder, pieces: Sequence[Piece], unsaid: np.ndarray | None = None
) -> tuple[Int[Tensor, "row control"], Int[Tensor, "row codebook frame"]]:
    """Control tokens and frames of pieces, filled with ends; ``unsaid [row, control]``: which controls are left out."""
    n_frames = max(len(decoder.tokens.encode(piece.notes)) for piece in pieces) + _ENDS
    frames = torch.stack([decoder.tokens.tensor(piece.notes, n_frames) for piece in pieces])
    controls = torch.tensor([controls_of(piece.attributes) for piece in pieces])
    if unsaid is not None:
        controls = controls.masked_fill(torch.from_numpy(unsaid), 0)
    return controls, frames[..., : decoder.shape.context]


def nats(
    decoder: Decoder, controls: Int[Tensor, "row control"], frames: Int[Tensor, "row codebook frame"]
) -> Float[Tensor, "row codebook frame"]:
    """−log p of each token, in nats."""
    logits = decoder(controls, frames).float()
    return F.cross_entropy(logits.permute(0, 3, 1, 2), frames, reduction="none")


class Trainer:
    """Draws the pieces of a step and computes its loss."""

    def __init__(self, config: SymbolicConfig, decoder: Decoder) -> None:
        self.config, self.decoder = config, decoder

    def loss(self, step: int) -> Float[Tensor, ""]:
        """Nats a token, averaged over codebooks and frames up to the end of each piece.

        The pieces of a step have one density, so that little of a batch is filling.
        """
        random, config = loop.generator(self.config.seed, STAGE, step), self.config
        density = str(random.choice(ATTRIBUTES["density"]))
        first, size = step * config.loop.batch, config.loop.batch
        numbers = range(first, first + size) if not config.pieces else random.integers(config.pieces, size=size)
        pieces = [compose(config.seed, int(number), {"density": density}) for number in numbers]
        controls, frames = batch_of(self.decoder, pieces, random.random((size, len(ATTRIBUTES))) < config.unsaid)
        with torch.autocast("cpu", dtype=torch.bfloat16) if config.bfloat16 else nullcontext():
            each = nats(self.decoder, controls, frames)
        ended = (frames[:, 0] == self.decoder.tokens.end[0]).cumsum(1) > _ENDS
        return each.mul(~ended[:, None]).sum() / (~ended).sum() / each.shape[1]


def build(config: SymbolicConfig) -> Decoder:
    """An untrained decoder, the same for the same seed."""
    torch.manual_seed(loop.derive_seed(config.seed, STAGE, -1))
    return Decoder(config.shape, GRID)


def train(folder: SymbolicFolder) -> Decoder:
    """The trained decoder of a folder: read, or trained from where an earlier run stopped."""
    decoder = build(folder.config)
    if not folder.is_done(STAGE):
        loop.train(folder, STAGE, decoder, folder.config.loop, Trainer(folder.config, decoder).loss)
        folder.save_tensors(STAGE, decoder.state_dict())
    decoder.load_state_dict(folder.load_tensors(STAGE))
    return decoder.eval()
