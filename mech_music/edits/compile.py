"""The edits of one pass, compiled: for each hook, what to do to its value, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from mech_music.edits import affine, patch, projection, random_direction, scheduled, splice  # noqa: F401 (their kinds are registered)
from mech_music.edits.heads import Heads, OnHeads
from mech_music.edits.protocol import Activations, Batch, CompiledEdit, Edits, OpenSae, Resolve, compiler_of, no_sae
from mech_music.edits.row import Row
from mech_music.models.hooks import Hook
from mech_music.models.protocol import Generator

Compiled = dict[Hook, list[CompiledEdit]]


def compile_edits(
    rows: Sequence[Row],
    model: Generator,
    n_steps: int,
    resolve: Resolve,
    activations: Activations,
    sae: OpenSae = no_sae,
) -> Compiled:
    """For each hook that some row edits: the compiled edits to apply there, in order.

    A row's second edit at the same hook is applied after the first. ``activations`` is called at most once, with all
    rows whose activations some edit needs.
    """
    rounds: dict[Hook, list[list[tuple[int, Any]]]] = {}
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
    sources = source_rows(rows)
    hooks = sorted({Hook.parse(edit.hook) for row in rows for edit in row.edits if hasattr(edit, "row")})
    batch = Batch(rows, n_steps, model, resolve, activations(sources, hooks) if sources else {}, sae)
    return {hook: [one for level in rounds[hook] for one in _level(hook, level, batch)] for hook in sorted(rounds)}


def source_rows(rows: Iterable[Row]) -> list[Row]:
    """The distinct rows that edits of ``rows`` name, whose activations they need."""
    return list(dict.fromkeys(row for each in rows for edit in each.edits if (row := getattr(edit, "row", None))))


def with_sources(rows: Sequence[Row]) -> list[Row]:
    """Rows, those whose activations their edits need, those that the edits of these need, and so on."""
    sources = source_rows(rows)
    return [*rows, *with_sources(sources)] if sources else list(rows)


def _level(hook: Hook, edits: Edits, batch: Batch) -> list[CompiledEdit]:
    """At most one edit of each row: those of one kind, for the same heads, are compiled together."""
    kinds: dict[tuple[tuple[type, ...], tuple[int, ...] | None], list[tuple[int, Any]]] = {}
    for position, edit in edits:
        kinds.setdefault((_kinds(edit), edit.heads), []).append((position, edit))
    return [_compiled(hook, heads, same, batch) for (_, heads), same in kinds.items()]


def _kinds(edit: Any) -> tuple[type, ...]:
    """The kind of an edit, of the one that it is made of, and so on."""
    return (type(edit), *(_kinds(edit.edit) if hasattr(edit, "edit") else ()))


def _compiled(hook: Hook, chosen: tuple[int, ...] | None, edits: Edits, batch: Batch) -> CompiledEdit:
    compiler = compiler_of(edits[0][1])
    if chosen is None:
        return compiler(hook, edits, batch, lambda value: value)
    heads = Heads.of(hook, chosen, batch.model.n_heads)
    return OnHeads(heads, compiler(hook, edits, batch, heads.take))


def visitor(maps: Mapping[Hook, Sequence[CompiledEdit]]) -> Callable[[Hook, int, Tensor], Tensor]:
    """The function that a traced generation calls at each edited hook."""

    def apply(hook: Hook, step: int, value: Tensor) -> Tensor:
        for edit in maps.get(hook, ()):
            value = edit(step, value)
        return value

    return apply
