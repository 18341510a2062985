"""The tokens that are sampled along a harvest, in the order of the steps at which activations are read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int, Int32
from torch import Tensor

from mech_music.activations.recipes import Making, register
from mech_music.base.workers import Advance
from mech_music.edits.row import Row
from mech_music.saes.measured import Sampled
from mech_music.saes.named import Harvest
from mech_music.saes.progress import progress

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

_ROWS = 64  # of a pass


class _Sampled:
    """Recipe of `Sampled`. Records ``tokens [clip, codebook, frame]``, −1 throughout for a clip that failed."""

    def needs(self, source: Sampled) -> Sequence[object]:
        return ()

    def together(self, source: Sampled) -> Hashable:
        return source

    def make(self, sources: Sequence[Sampled], making: Making) -> dict[Sampled, dict[str, np.ndarray]]:
        return {source: {"tokens": _tokens(source.harvest, making)} for source in sources}


def _tokens(harvest: Harvest, making: Making) -> Int32[np.ndarray, "clip codebook frame"]:
    """Generated again: shards of activations have none."""
    passes, rows = making.passes, harvest.rows
    found: dict[Row, np.ndarray] = {}
    packs = passes.packs(rows, min(_ROWS, making.most), making.n_workers)
    with progress("tokens", len(rows), making.quiet) as show:
        each = len(rows) / len(packs)

        def work(pack: tuple[Row, ...], advance: Advance) -> np.ndarray:
            tokens = passes.stored_tokens(pack).to(torch.int32).cpu().numpy()
            advance(1)
            return tokens

        for pack, tokens in zip(packs, making.spread(work, packs, lambda done: show(done * each)), strict=True):
            found |= zip(pack, tokens, strict=True)
    return np.stack([found[row] for row in rows])


def by_step(
    tokens: Int[Tensor, "clip codebook frame"], generator: Generator, n_steps: int
) -> Int[Tensor, "clip step codebook"]:
    """What is sampled at each step; −1 where that is no token of the music."""
    n_frames = tokens.shape[2]
    places = torch.arange(n_steps + 1).repeat(1, generator.n_codebooks, 1)  # the start is position 0
    at = generator.to_frames(places.to(generator.device), n_frames)[0].cpu() - 1  # the step of each token
    found = torch.full((len(tokens), n_steps, generator.n_codebooks), -1, dtype=tokens.dtype)
    for codebook, steps in enumerate(at):
        found[:, steps, codebook] = tokens[:, codebook]
    return found


register(Sampled, _Sampled())
