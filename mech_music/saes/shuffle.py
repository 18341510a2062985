"""Vectors in random order, in bounded memory: chunks of a stream are read in random order, a few at a time, and mixed.

What fits in ``budget`` is shuffled as a whole; beyond it, vectors are mixed within blocks of chunks, other ones in each
epoch. Where a batch lies is a function of the seed, so training goes on in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from mech_music.activations.shards import Activations
from mech_music.base.errors import UserError
from mech_music.edits.row import Half

BUDGET = 2**30
"""Bytes of vectors that are mixed at once."""
_HALVES = {Half.cond: slice(0, 1), Half.uncond: slice(1, 2), Half.both: slice(0, 2)}
Batch = dict[str, Float32[Tensor, "vector width"]]


def _chosen(half: Half, halves: int) -> slice:
    """Of the halves that are stored; a single one stands for either."""
    return _HALVES[half] if halves > 1 else slice(0, 1)


@dataclass(frozen=True)
class Shuffle:
    """The vectors of hooks, batch by batch, the same places at every hook. ``reads``: is told of each chunk that is
    read, as (which of a block's, of how many)."""

    activations: Activations
    hooks: Sequence[str]
    half: Half
    batch: int
    epochs: int
    seed: int
    budget: int = BUDGET
    reads: Callable[[int, int], None] = field(default=lambda at, n: None, compare=False)
    _held: dict[tuple[int, ...], Batch] = field(default_factory=dict, compare=False)

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        """Vectors of each chunk, and numbers in each vector of all hooks."""
        sizes = []
        for number in range(len(self.activations)):
            shapes = [self.activations.shape(number, hook) for hook in self.hooks]
            clips, steps, halves, _ = shapes[0]
            chosen = len(range(halves)[_chosen(self.half, halves)])
            sizes.append((clips * steps * chosen, sum(shape[-1] for shape in shapes)))
        return sizes

    @cached_property
    def _blocks(self) -> list[list[int]]:
        """The chunks that are mixed together, of every epoch."""
        blocks: list[list[int]] = []
        for epoch in range(self.epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.activations)).tolist()
            block: list[int] = []
            filled = 0
            for place in order:
                size = 4 * self._sizes[place][0] * self._sizes[place][1]
                if block and filled + size > self.budget:
                    blocks.append(block)
                    block, filled = [], 0
                block.append(place)
                filled += size
            blocks.append(block)
        return blocks

    def _batches_of(self, block: Sequence[int]) -> int:
        """Whole batches; what is left over is another one's turn in the next epoch. At least one."""
        return max(1, sum(self._sizes[place][0] for place in block) // self.batch)

    def __len__(self) -> int:
        """Batches of all epochs."""
        return sum(map(self._batches_of, self._blocks))

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """From the ``start``-th on. UserError where clips were left out that were counted on (`Anew`)."""
        for number, block in enumerate(self._blocks):
            n = self._batches_of(block)
            if start >= n:
                start -= n
                continue
            vectors = self._read(block)
            total = len(vectors[self.hooks[0]])
            if total != sum(self._sizes[place][0] for place in block):
                raise UserError(
                    "some clips have values that are not finite; only what is on disk can be trained on without them: "
                    "engine.keep_activations=true"
                )
            order = torch.from_numpy(np.random.default_rng([self.seed, number, 1]).permutation(total))
            for at in range(start, n):
                places = order[at * self.batch : (at + 1) * self.batch]
                yield {hook: values[places] for hook, values in vectors.items()}
            start = 0

    def first(self) -> Batch:
        """All vectors of the first block, in no order: to estimate means and scales from."""
        return self._read(self._blocks[0])

    def _read(self, block: Sequence[int]) -> Batch:
        """The last one is held: where all fits, it is every epoch's."""
        places = tuple(sorted(block))
        if places in self._held:
            return self._held[places]
        parts: dict[str, list[Tensor]] = {hook: [] for hook in self.hooks}
        for at, place in enumerate(places):
            self.reads(at, len(places))
            halves = self.activations.shape(place, self.hooks[0])[2]
            for hook, values in self.activations.values(place, self.hooks, _chosen(self.half, halves)).items():
                parts[hook].append(values.flatten(0, 2))
        read = {hook: torch.cat(some) for hook, some in parts.items()}
        self._held.clear()
        self._held[places] = read
        return read
