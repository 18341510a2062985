"""Vectors in random order, in bounded memory: shards of a stream are read in random order, a few at a time, and mixed.

What fits in ``budget`` is shuffled as a whole; beyond it, vectors are mixed within blocks of shards, other ones in each
epoch. Where a batch lies is a function of the seed, so training goes on in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from safetensors import safe_open
from torch import Tensor

from mech_music.activations.shards import shard_files
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
    """The vectors of hooks in the shards of a folder, batch by batch, the same places at every hook."""

    folder: Path
    hooks: Sequence[str]
    half: Half
    batch: int
    epochs: int
    seed: int
    budget: int = BUDGET

    @cached_property
    def shards(self) -> list[Path]:
        """In their order. UserError if there are none."""
        return shard_files(self.folder)

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        """Vectors of each shard, and numbers in each vector of all hooks."""
        sizes = []
        for path in self.shards:
            with safe_open(path, "pt") as shard:
                shapes = [shard.get_slice(hook).get_shape() for hook in self.hooks]
            clips, steps, halves, _ = shapes[0]
            chosen = len(range(halves)[_chosen(self.half, halves)])
            sizes.append((clips * steps * chosen, sum(shape[-1] for shape in shapes)))
        return sizes

    @cached_property
    def _blocks(self) -> list[list[int]]:
        """The shards that are mixed together, of every epoch."""
        blocks: list[list[int]] = []
        for epoch in range(self.epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.shards)).tolist()
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
        """From the ``start``-th on."""
        held: tuple[list[int], Batch] | None = None
        for number, block in enumerate(self._blocks):
            n = self._batches_of(block)
            if start >= n:
                start -= n
                continue
            if held is None or held[0] != sorted(block):
                held = sorted(block), self._read(sorted(block))
            vectors = held[1]
            total = len(vectors[self.hooks[0]])
            order = torch.from_numpy(np.random.default_rng([self.seed, number, 1]).permutation(total))
            for at in range(start, n):
                places = order[at * self.batch : (at + 1) * self.batch]
                yield {hook: values[places] for hook, values in vectors.items()}
            start = 0

    def first(self) -> Batch:
        """All vectors of the first block, in no order: to estimate means and scales from."""
        return self._read(sorted(self._blocks[0]))

    def _read(self, block: Sequence[int]) -> Batch:
        parts: dict[str, list[Tensor]] = {hook: [] for hook in self.hooks}
        for place in block:
            with safe_open(self.shards[place], "pt") as shard:
                for hook in self.hooks:
                    stored = shard.get_slice(hook)
                    values = stored[:, :, _chosen(self.half, stored.get_shape()[2])]
                    parts[hook].append(values.flatten(0, 2).float())
        return {hook: torch.cat(some) for hook, some in parts.items()}
