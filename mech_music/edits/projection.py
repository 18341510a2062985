"""Projections of a pass at one hook, compiled: what lies along a direction is scaled, mostly to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.edits.affine import weighted_sum
from mech_music.edits.protocol import Batch, Edits, Take, Targets, compiles
from mech_music.edits.row import Projection, Term
from mech_music.models.hooks import Hook

_ROUNDING = 1e-5  # of the length of its terms: a shorter difference of means is what float32 left over


@dataclass
class Projected:
    """``value[i] ← value[i] + (scale − 1) · (value[i] · unit) · unit`` at the entries that are active.

    ``bank``: the distinct unit directions, zero at steps that have none.
    """

    targets: Targets
    scale: Float[Tensor, " entry"]
    choice: Int[Tensor, " entry"]
    bank: Float[Tensor, "direction step width"]

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The value with its part along the direction scaled; all other entries are untouched bit for bit."""
        active = self.targets.active(step)
        if active is not None and not len(active):
            return value
        chosen: slice | Tensor = slice(None) if active is None else active
        index, unit = self.targets.index[chosen], self.bank[self.choice[chosen], step][:, None]
        own = value[index].float()
        along = (own * unit).sum(dim=-1, keepdim=True) * unit
        projected = value.clone()
        projected[index] = (own + (self.scale[chosen][:, None, None] - 1.0) * along).to(value.dtype)
        return projected


@compiles(Projection)
def compile_projection(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Projected:
    """Equal directions are kept once. UserError for attention patterns, which have no mean."""
    entries, device = batch.entries(edits), batch.model.device
    named = list(dict.fromkeys((entry.edit.direction, entry.half) for entry in entries))
    bank = torch.stack([_unit(hook, terms, batch, half, take) for terms, half in named])
    choice = torch.tensor([named.index((entry.edit.direction, entry.half)) for entry in entries], device=device)
    scale = torch.tensor([float(entry.edit.scale) for entry in entries], device=device)
    return Projected(batch.targets(entries), scale, choice, bank.to(device))


def _unit(hook: Hook, terms: Sequence[Term], batch: Batch, half: int, take: Take) -> Float[Tensor, "step width"]:
    """The direction with length 1 at each step; zero where means do not differ but for rounding.

    The unconditional half's first step is such a one: no prompt has reached it yet.
    """
    direction = take(weighted_sum(hook, terms, batch, half))
    sizes = [take(weighted_sum(hook, [term], batch, half)).norm(dim=-1) for term in terms]
    length = direction.norm(dim=-1)
    there = length > _ROUNDING * torch.stack(sizes).sum(dim=0)
    return torch.where(there[:, None], direction / length.clamp(min=1e-30)[:, None], 0.0)
