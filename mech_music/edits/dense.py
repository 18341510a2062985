"""Affine edits of a pass as tables over all rows and steps: for a decoder that may not ask which rows are edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.edits.affine import Affine
from mech_music.edits.protocol import CompiledEdit
from mech_music.models.hooks import Hook, Layout


@dataclass(frozen=True)
class Dense:
    """``value[row] ← scale[step, row] · value[row] + bank[choice[step, row], step]`` for every row of the batch.

    A row that is not edited at a step has scale 1 and shift 0, and so keeps its value.
    """

    scale: Float[Tensor, "step half_row"]
    choice: Int[Tensor, "step half_row"]
    bank: Float[Tensor, "shift step width"]

    def __call__(self, at: Int[Tensor, 1], value: Float[Tensor, "half_row 1 width"]) -> Tensor:
        """``at``: the step, as a tensor on the device."""
        scale, choice = self.scale.index_select(0, at)[0], self.choice.index_select(0, at)[0]
        shift = self.bank.index_select(1, at)[:, 0].index_select(0, choice)
        return (scale[:, None, None] * value.float() + shift[:, None]).to(value.dtype)


def dense(maps: Mapping[Hook, Sequence[CompiledEdit]], half_rows: int, n_steps: int) -> dict[Hook, list[Dense]] | None:
    """The compiled edits of a pass as tables, by hook and in order; None where some edit is not an affine map of the
    residual stream or of a branch's output."""
    found: dict[Hook, list[Dense]] = {}
    for hook, edits in maps.items():
        for edit in edits:
            if not isinstance(edit, Affine) or hook.layout is not Layout.stream:
                return None
            found.setdefault(hook, []).append(_table(edit, half_rows, n_steps))
    return found


def _table(edit: Affine, half_rows: int, n_steps: int) -> Dense:
    device, targets = edit.bank.device, edit.targets
    steps = torch.arange(n_steps)[:, None]
    active = ((torch.from_numpy(targets.start) <= steps) & (steps < torch.from_numpy(targets.stop))).to(device)
    scale = torch.ones(n_steps, half_rows, device=device)
    choice = torch.zeros(n_steps, half_rows, dtype=torch.long, device=device)
    scale[:, targets.index] = torch.where(active, edit.scale, 1.0)
    choice[:, targets.index] = torch.where(active, edit.choice + 1, 0)
    unedited = torch.zeros_like(edit.bank[:1])
    return Dense(scale, choice, torch.cat([unedited, edit.bank]))
