"""Training on planted pieces or a corpus: batches are a function of (seed, step), so that it may stop at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mech_music.models.symbolic.attributes import ATTRIBUTES, controls_of
from mech_music.models.symbolic.corpora.registry import PLANTED, load
from mech_music.models.symbolic.decoder import Decoder
from mech_music.models.symbolic.notes import Grid, Note
from mech_music.models.symbolic.pieces import GRID, compose
from mech_music.models.symbolic.settings import SymbolicConfig
from mech_music.tiny import loop
from mech_music.tiny.workspace import StageFolder

STAGE = "decoder"
HELD_OUT = 1_000_000_000
"""Pieces from this number on are never trained on."""
_ENDS = 2  # frames after the last note that are learnt


class Written(Protocol):
    """What is learnt from: notes, and what the control tokens say of them."""

    @property
    def notes(self) -> Sequence[Note]: ...

    @property
    def attributes(self) -> Mapping[str, str]: ...


class SymbolicFolder(StageFolder):
    """The folder of one training run."""

    def __init__(self, config: SymbolicConfig) -> None:
        super().__init__(config.folder, config.seed)
        self.config = config

    def recipe(self, stage: str) -> dict[str, Any]:
        """Everything but folders, and how often to save."""
        found = asdict(self.config)
        del found["folder"], found["bundle"], found["loop"]["save_every"]
        if self.config.corpus.name == PLANTED:
            del found["corpus"]
        return found


def batch_of(
    decoder: Decoder, pieces: Sequence[Written], unsaid: np.ndarray | None = None
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
        self._draw = self._planted if config.corpus.name == PLANTED else self._transposed

    def loss(self, step: int) -> Float[Tensor, ""]:
        """Nats a token, averaged over codebooks and frames up to the end of each piece."""
        random, size = loop.generator(self.config.seed, STAGE, step), self.config.loop.batch
        pieces = self._draw(step, random)
        controls, frames = batch_of(self.decoder, pieces, random.random((size, len(ATTRIBUTES))) < self.config.unsaid)
        with torch.autocast("cpu", dtype=torch.bfloat16) if self.config.bfloat16 else nullcontext():
            each = nats(self.decoder, controls, frames)
        there = told(self.decoder, frames)
        return each.mul(there[:, None]).sum() / there.sum() / each.shape[1]

    def _planted(self, step: int, random: np.random.Generator) -> Sequence[Written]:
        """Of one density, so that little of a batch is filling."""
        config, size = self.config, self.config.loop.batch
        density = str(random.choice(ATTRIBUTES["density"]))
        numbers = (
            range(step * size, (step + 1) * size) if not config.pieces else random.integers(config.pieces, size=size)
        )
        return [compose(config.seed, int(number), {"density": density}) for number in numbers]

    def _transposed(self, step: int, random: np.random.Generator) -> Sequence[Written]:
        """Stretches of the corpus, each in one of the keys that its notes allow."""
        corpus = load(self.config.corpus)
        drawn = [corpus.train[int(at)] for at in random.integers(len(corpus.train), size=self.config.loop.batch)]
        return [one.transposed(int(random.choice(one.shifts(corpus.grid)))) for one in drawn]


def told(decoder: Decoder, frames: Int[Tensor, "row codebook frame"]) -> Bool[Tensor, "row frame"]:
    """Which frames are learnt: the notes, and the first ends after them."""
    return (frames[:, 0] == decoder.tokens.end[0]).cumsum(1) <= _ENDS


def grid_of(config: SymbolicConfig) -> Grid:
    """The grid of what is learnt. UserError for a corpus that cannot be read."""
    return GRID if config.corpus.name == PLANTED else load(config.corpus).grid


def build(config: SymbolicConfig) -> Decoder:
    """An untrained decoder, the same for the same seed."""
    torch.manual_seed(loop.derive_seed(config.seed, STAGE, -1))
    return Decoder(config.shape, grid_of(config))


def train(folder: SymbolicFolder) -> Decoder:
    """The trained decoder of a folder: read, or trained from where an earlier run stopped."""
    decoder = build(folder.config)
    if not folder.is_done(STAGE):
        loop.train(folder, STAGE, decoder, folder.config.loop, Trainer(folder.config, decoder).loss)
        folder.save_tensors(STAGE, decoder.state_dict())
    decoder.load_state_dict(folder.load_tensors(STAGE))
    return decoder.eval()


def card_of(config: SymbolicConfig) -> dict[str, Any]:
    """What a trained model was made from: its corpus with source, licence and split, and the training's own numbers."""
    planted = {
        "corpus": {"name": PLANTED},
        "source": "planted pieces of this package",
        "licence": "that of this package",
    }
    corpus = planted if config.corpus.name == PLANTED else load(config.corpus).manifest
    return {**corpus, "seed": config.seed, "loop": asdict(config.loop)}
