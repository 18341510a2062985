"""An edit's displacement turned into a random direction: does any push of that size do what the edit does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.edits.affine import compile_affine
from mech_music.edits.protocol import Batch, CompiledEdit, Edits, Take, Targets, compiles
from mech_music.edits.row import RandomDirection
from mech_music.models.hooks import Hook


@dataclass
class Randomised:
    """``value[i] ← value[i] + ‖edit(value)[i] − value[i]‖ · direction[i]`` at the entries that are active.

    ``seeds``: each entry's direction is drawn from them, once the width of the values is known.
    """

    targets: Targets
    edit: CompiledEdit
    seeds: Sequence[Sequence[int]]
    _directions: Float[Tensor, "entry 1 width"] | None = field(default=None, init=False)

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The displaced value; all other entries are untouched bit for bit."""
        active = self.targets.active(step)
        if active is not None and not len(active):
            return value
        chosen: slice | Int[Tensor, " active"] = slice(None) if active is None else active
        if self._directions is None:
            self._directions = torch.stack([_unit(seed, value.shape[-1]) for seed in self.seeds])[:, None].to(
                value.device
            )
        index, own = self.targets.index[chosen], value.float()
        size = (self.edit(step, value).float() - own)[index].norm(dim=-1, keepdim=True)
        moved = value.clone()
        moved[index] = (own[index] + size * self._directions[chosen]).to(value.dtype)
        return moved


@compiles(RandomDirection)
def compile_random(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Randomised:
    """The edits that give the size, compiled together, and a direction for each row: the same in both halves."""
    entries = batch.entries(edits)
    sizes = compile_affine(hook, [(position, one.edit) for position, one in edits], batch, take)
    return Randomised(
        batch.targets(entries), sizes, [[entry.edit.seed, hook.layer, *hook.point.encode()] for entry in entries]
    )


def _unit(seed: Sequence[int], width: int) -> Float[Tensor, " width"]:
    state = np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0]
    direction = torch.randn(width, generator=torch.Generator().manual_seed(int(state >> np.uint64(1))))
    return direction / direction.norm()
