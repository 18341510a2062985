"""What makes a kind of edit: a frozen dataclass that names its hook, and a compiler that is registered for it.

A new kind is one module: its dataclass (with ``hook``, ``frames``, ``half`` and ``heads`` as `Edit` has them) and a
function marked `compiles`. That function is given all edits of the kind that a pass applies at one hook, and returns
one `CompiledEdit` for them. An edit that needs another clip's activations names it as ``row``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.edits.row import AnyEdit, Half, Row
from mech_music.models.hooks import Hook
from mech_music.models.protocol import Generator
from mech_music.saes.sae import Sae

Resolve = Callable[[Any, str], Float[Tensor, "step half d_model"]]
"""The tensor that a source names, at a hook."""
Recorded = Mapping[tuple[Row, Hook], Sequence[Float[Tensor, "half position width"]]]
"""A row's value at a hook, for every step."""
Activations = Callable[[Sequence[Row], Sequence[Hook]], Recorded]
"""Generates rows and records hooks; kept as long as the pass that needs them."""
Take = Callable[[Tensor], Tensor]
"""The part of a value ``[…, position, width]`` that edits concern: all of it, or that of some heads."""
OpenSae = Callable[[Any, str], Sae]
"""The SAE that an edit names, at a hook."""
_HALVES = {Half.cond: (0,), Half.uncond: (1,), Half.both: (0, 1)}


def no_sae(named: Any, hook: str) -> Sae:
    """Where there is none."""
    raise UserError(f"edit of '{hook}': SAEs are opened by an engine; give compile_edits what opens {named}")


class CompiledEdit(Protocol):
    """What the edits of a pass at one hook do to its value; rows that they do not concern keep theirs bit for bit."""

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor: ...


@dataclass(frozen=True)
class Batch:
    """A pass, as compilers see it: its rows (in every guidance half), and where tensors come from.

    ``recorded``: the activations of every row that some edit names, at that edit's hook. ``sae``: opens an SAE.
    """

    rows: Sequence[Row]
    n_steps: int
    model: Generator
    resolve: Resolve
    recorded: Recorded
    sae: OpenSae = no_sae

    def entries(self, edits: Edits) -> list[Entry]:
        """Where edits act: one entry for each row and guidance half. UserError for a half that a model has not."""
        return [
            Entry(half * len(self.rows) + position, half, edit)
            for position, edit in edits
            for half in self._halves(edit)
        ]

    def _halves(self, edit: Any) -> tuple[int, ...]:
        halves = tuple(half for half in _HALVES[edit.half] if half < self.model.halves)
        if not halves:
            raise UserError(
                f"edit of '{edit.hook}': half={edit.half}, but this model has no guidance, and so no unconditional "
                "half: use half=both"
            )
        return halves

    def targets(self, entries: Sequence[Entry]) -> Targets:
        """The places and the frames of entries."""
        frames = [entry.edit.frames or (0, self.n_steps) for entry in entries]
        index = torch.tensor([entry.index for entry in entries], device=self.model.device)
        return Targets(index, *np.array(frames).T)


@dataclass(frozen=True)
class Entry:
    """One row of the guidance-doubled batch, and what edits it."""

    index: int
    half: int
    edit: Any


@dataclass(frozen=True)
class Targets:
    """``index``: rows of the guidance-doubled batch, each at most once; each from its step ``start`` to ``stop``."""

    index: Int[Tensor, " entry"]
    start: Int[np.ndarray, " entry"]
    stop: Int[np.ndarray, " entry"]

    @cached_property
    def _always(self) -> range:
        """The steps at which all of them are edited."""
        return range(int(self.start.max()), int(self.stop.min()))

    def active(self, step: int) -> Int[Tensor, " active"] | None:
        """Which entries are edited at a step; None for all of them."""
        if step in self._always:
            return None
        return torch.from_numpy(np.flatnonzero((self.start <= step) & (step < self.stop))).to(self.index.device)


Edits = Sequence[tuple[int, Any]]
"""Edits of one kind at one hook, each with its row's place in the batch."""
Compiler = Callable[[Hook, Edits, Batch, Take], CompiledEdit]
_COMPILERS: dict[type, Compiler] = {}
_C = TypeVar("_C", bound=Compiler)


def compiles(kind: type) -> Callable[[_C], _C]:
    """Mark a function as the compiler of a kind of edit."""

    def register(compiler: _C) -> _C:
        _COMPILERS[kind] = compiler
        return compiler

    return register


def compiler_of(edit: AnyEdit) -> Compiler:
    """UserError for a kind of edit that nobody compiles."""
    if type(edit) not in _COMPILERS:
        known = ", ".join(sorted(kind.__name__ for kind in _COMPILERS))
        raise UserError(f"no compiler for an edit of kind {type(edit).__name__}: there is one for {known}")
    return _COMPILERS[type(edit)]
