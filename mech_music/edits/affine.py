"""The edits of one pass, compiled: for each hook, one affine map over the rows it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.edits.row import Edit, Half, Mean, Row
from mech_music.models.hooks import Hook

Resolve = Callable[[Mean, str], Float[Tensor, "step half d_model"]]
_HALVES = {Half.cond: (0,), Half.uncond: (1,), Half.both: (0, 1)}


@dataclass
class Affine:
    """``value[index] ← scale · value[index] + bank[choice, step]`` at the entries that are active.

    ``index``: positions in the guidance-doubled batch (each at most once); ``bank``: the distinct shifts.
    """

    index: Int[Tensor, " entry"]
    scale: Float[Tensor, "entry 1"]
    choice: Int[Tensor, " entry"]
    bank: Float[Tensor, "shift step d_model"]
    start: np.ndarray
    stop: np.ndarray

    def __call__(self, step: int, value: Float[Tensor, "half_row 1 d_model"]) -> Tensor:
        """The edited value; entries outside their frames, and all other rows, are untouched bit for bit."""
        if self._first <= step < self._last:
            return self._all(value, step) if len(self.index) == len(value) else self._some(value, step, None)
        active = (self.start <= step) & (step < self.stop)
        if not active.any():
            return value
        return self._some(value, step, torch.from_numpy(np.flatnonzero(active)).to(self.index.device))

    def __post_init__(self) -> None:
        self._first, self._last = int(self.start.max()), int(self.stop.min())  # between them every entry is active
        order = self.index.argsort()
        self._in_order = self.scale[order], self.choice[order]
        self._only_scale = float(self.scale[0]) if len(self.scale.unique()) == 1 else None

    def _all(self, value: Float[Tensor, "half_row 1 d_model"], step: int) -> Tensor:
        """Every entry of the batch is edited: nothing to pick out and put back."""
        scale, choice = self._in_order
        shift = self.bank[choice, step][:, None]
        if self._only_scale == 0:
            return shift.expand_as(value).to(value.dtype)
        scaled = value.float() if self._only_scale == 1 else scale[:, None] * value.float()
        return (scaled + shift).to(value.dtype)

    def _some(
        self, value: Float[Tensor, "half_row 1 d_model"], step: int, chosen: Int[Tensor, " entry"] | None
    ) -> Tensor:
        index, scale, choice = self.index, self.scale, self.choice
        if chosen is not None:
            index, scale, choice = index[chosen], scale[chosen], choice[chosen]
        edited = value.clone()
        edited[index, 0] = (scale * value[index, 0].float() + self.bank[choice, step]).to(value.dtype)
        return edited


def compile_edits(
    rows: Sequence[Row], resolve: Resolve, n_steps: int, device: torch.device
) -> dict[Hook, list[Affine]]:
    """For each hook that some row edits: the maps to apply there, in order.

    A row's second edit at the same hook goes into a second map, after the first.
    """
    rounds: dict[Hook, list[list[tuple[int, Edit]]]] = {}
    for position, row in enumerate(rows):
        depth: dict[Hook, int] = {}
        for edit in row.edits:
            hook = Hook.parse(edit.hook)
            level = depth.get(hook, 0)
            depth[hook] = level + 1
            levels = rounds.setdefault(hook, [])
            if len(levels) == level:
                levels.append([])
            levels[level].append((position, edit))
    return {
        hook: [_affine(level, len(rows), resolve, n_steps, device) for level in rounds[hook]] for hook in sorted(rounds)
    }


def _affine(
    edits: Sequence[tuple[int, Edit]], n_rows: int, resolve: Resolve, n_steps: int, device: torch.device
) -> Affine:
    shifts: dict[tuple, int] = {}
    bank: list[Tensor] = []
    index, scale, choice, frames = [], [], [], []
    for position, edit, half in _entries(edits):
        name = (edit.hook, edit.shift, edit.random, half)
        if name not in shifts:
            shifts[name] = len(bank)
            bank.append(_shift(edit, resolve, n_steps, half))
        index.append(half * n_rows + position)
        scale.append(edit.scale)
        choice.append(shifts[name])
        frames.append(edit.frames or (0, n_steps))
    start, stop = np.array(frames).T
    width = max(shift.shape[-1] for shift in bank)
    stacked = torch.stack([shift.expand(n_steps, width) for shift in bank])
    return Affine(
        torch.tensor(index, device=device),
        torch.tensor(scale, device=device)[:, None],
        torch.tensor(choice, device=device),
        stacked.to(device),
        start,
        stop,
    )


def _entries(edits: Sequence[tuple[int, Edit]]) -> Iterator[tuple[int, Edit, int]]:
    for position, edit in edits:
        for half in _HALVES[edit.half]:
            yield position, edit, half


def _shift(edit: Edit, resolve: Resolve, n_steps: int, half: int) -> Float[Tensor, "step d_model"]:
    """The weighted sum of the sources, or a random direction with its norm at every step."""
    if not edit.shift:
        return torch.zeros(n_steps, 1)
    total = sum(term.weight * resolve(term.source, edit.hook)[:n_steps, half] for term in edit.shift)
    assert isinstance(total, Tensor)
    if edit.random is None:
        return total
    hook = Hook.parse(edit.hook)
    seed = np.random.SeedSequence([edit.random, hook.layer, *hook.point.encode(), half]).generate_state(1, np.uint64)[0]
    direction = torch.randn(total.shape[-1], generator=torch.Generator().manual_seed(int(seed >> np.uint64(1))))
    return total.norm(dim=-1, keepdim=True) * direction / direction.norm()


def visitor(maps: Mapping[Hook, Sequence[Affine]]) -> Callable[[Hook, int, Tensor], Tensor]:
    """The function that a traced generation calls at each edited hook."""

    def apply(hook: Hook, step: int, value: Tensor) -> Tensor:
        for affine in maps.get(hook, ()):
            value = affine(step, value)
        return value

    return apply
