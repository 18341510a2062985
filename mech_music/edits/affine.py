"""The affine edits of a pass at one hook, compiled: one map over the rows it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.protocol import Batch, Edits, Take, Targets, compiles
from mech_music.edits.row import Edit, Term
from mech_music.models.hooks import Hook, Layout


@dataclass
class Affine:
    """``value[index] ← scale · value[index] + bank[choice, step]`` at the entries that are active.

    ``bank``: the distinct shifts, the same at all positions of a value that has several.
    """

    targets: Targets
    scale: Float[Tensor, " entry"]
    choice: Int[Tensor, " entry"]
    bank: Float[Tensor, "shift step width"]

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The edited value; entries outside their frames, and all other rows, are untouched bit for bit."""
        active = self.targets.active(step)
        if active is None:
            whole = len(self.targets.index) == len(value)
            return self._all(value, step) if whole else self._some(value, step, slice(None))
        return self._some(value, step, active) if len(active) else value

    def __post_init__(self) -> None:
        order = self.targets.index.argsort()
        self._in_order = self.scale[order], self.choice[order]
        self._only_scale = float(self.scale[0]) if len(self.scale.unique()) == 1 else None

    def _all(self, value: Float[Tensor, "half_row position width"], step: int) -> Tensor:
        """Every entry of the batch is edited: nothing to pick out and put back."""
        scale, choice = self._in_order
        shift = self.bank[choice, step][:, None]
        if self._only_scale == 0:
            return shift.expand_as(value).to(value.dtype)
        scaled = value.float() if self._only_scale == 1 else scale[:, None, None] * value.float()
        return (scaled + shift).to(value.dtype)

    def _some(self, value: Float[Tensor, "half_row position width"], step: int, active: slice | Tensor) -> Tensor:
        index, scale, choice = self.targets.index[active], self.scale[active], self.choice[active]
        edited = value.clone()
        shift = self.bank[choice, step][:, None]
        edited[index] = (scale[:, None, None] * value[index].float() + shift).to(value.dtype)
        return edited


@compiles(Edit)
def compile_affine(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Affine:
    """One map for all; equal shifts are kept once. UserError for a shift of attention patterns, which have no width."""
    shifts: dict[tuple, int] = {}
    bank: list[Tensor] = []
    scale, choice, entries = [], [], batch.entries(edits)
    for entry in entries:
        edit = entry.edit
        name = (edit.shift, entry.half)
        if name not in shifts:
            shifts[name] = len(bank)
            bank.append(_shift(hook, edit, batch, entry.half, take))
        scale.append(edit.scale)
        choice.append(shifts[name])
    width, device = max(shift.shape[-1] for shift in bank), batch.model.device
    stacked = torch.stack([shift.expand(batch.n_steps, width) for shift in bank])
    return Affine(
        batch.targets(entries),
        torch.tensor(scale, device=device),
        torch.tensor(choice, device=device),
        stacked.to(device),
    )


def _shift(hook: Hook, edit: Edit, batch: Batch, half: int, take: Take) -> Float[Tensor, "step width"]:
    if not edit.shift:
        return torch.zeros(batch.n_steps, 1)
    return take(weighted_sum(hook, edit.shift, batch, half))


def weighted_sum(hook: Hook, terms: Sequence[Term], batch: Batch, half: int) -> Float[Tensor, "step width"]:
    """The sum of some sources in one guidance half. UserError for attention patterns, which have no width."""
    if hook.layout is Layout.pattern:
        raise UserError(f"edit of '{hook.name}': an attention pattern can be scaled or patched, but has no mean to add")
    total = sum(term.weight * batch.resolve(term.source, hook.name)[: batch.n_steps, half] for term in terms)
    assert isinstance(total, Tensor)
    return total
