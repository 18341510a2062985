"""An edit's displacement turned into a random direction: does any push of that size do what the edit does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.edits.protocol import Batch, CompiledEdit, Edits, Take, Targets, compiler_of, compiles
from mech_music.edits.row import Projection, RandomDirection, Term
from mech_music.models.hooks import Hook


@dataclass
class Randomised:
    """``value[i] ← value[i] + ‖edit(value)[i] − value[i]‖ · direction[i]`` at the entries that are active.

    ``seeds``: each entry's direction is drawn from them, once the width of the values is known; or ``given``, of any
    length. ``along``: for edits
    that scale what lies along a direction, −1 where they make it less and 1 where more: a value then starts the same
    way along the random one (and may well go past zero: it goes as far as the edit does).
    """

    targets: Targets
    edit: CompiledEdit
    seeds: Sequence[Sequence[int]]
    along: Float[Tensor, "entry 1 1"] | None = None
    given: Sequence[Float[Tensor, " width"] | None] = ()
    _directions: Float[Tensor, "entry 1 width"] | None = field(default=None, init=False)

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The displaced value; all other entries are untouched bit for bit."""
        active = self.targets.active(step)
        if active is not None and not len(active):
            return value
        chosen: slice | Int[Tensor, " active"] = slice(None) if active is None else active
        if self._directions is None:
            self._directions = torch.stack(self._units(value.shape[-1]))[:, None].to(value.device)
        index, own = self.targets.index[chosen], value.float()
        size = (self.edit(step, value).float() - own)[index].norm(dim=-1, keepdim=True)
        direction = self._directions[chosen]
        if self.along is not None:
            direction = self.along[chosen] * (own[index] * direction).sum(dim=-1, keepdim=True).sign() * direction
        moved = value.clone()
        moved[index] = (own[index] + size * direction).to(value.dtype)
        return moved

    def _units(self, width: int) -> list[Float[Tensor, " width"]]:
        given = self.given or [None] * len(self.seeds)
        return [
            _unit(seed, width) if own is None else own / own.norm() for seed, own in zip(self.seeds, given, strict=True)
        ]


@compiles(RandomDirection)
def compile_random(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Randomised:
    """The edits that give the size, all of one kind, compiled together, and a direction for each row: the same in both
    halves."""
    entries = batch.entries(edits)
    own = [(position, one.edit) for position, one in edits]
    sizes, along = compiler_of(own[0][1])(hook, own, batch, take), None
    if isinstance(own[0][1], Projection):
        signs = [1.0 if entry.edit.edit.scale > 1.0 else -1.0 for entry in entries]
        along = torch.tensor(signs, device=batch.model.device)[:, None, None]
    seeds = [[entry.edit.seed, hook.layer, *hook.point.encode()] for entry in entries]
    given = [_given(hook, entry.edit.along, entry.half, batch, take) for entry in entries]
    return Randomised(batch.targets(entries), sizes, seeds, along, given)


def _given(hook: Hook, along: Term | None, half: int, batch: Batch, take: Take) -> Float[Tensor, " width"] | None:
    return along and along.weight * take(batch.resolve(along.source, hook.name)[0, half]).cpu()


def _unit(seed: Sequence[int], width: int) -> Float[Tensor, " width"]:
    state = np.random.SeedSequence(list(seed)).generate_state(1, np.uint64)[0]
    direction = torch.randn(width, generator=torch.Generator().manual_seed(int(state >> np.uint64(1))))
    return direction / direction.norm()
