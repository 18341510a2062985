"""How kinds of recordings are made, and tensors found in them: open, as kinds of edits are.

A further kind of recording is a stored dataclass and a `Recipe` registered for it; a further kind of tensor for affine
edits (a direction) is one with ``recorded``, what has to be recorded first, and a function marked `resolves`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from torch import Tensor

from mech_music.base.workers import Advance, spread

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

Spread = Callable[[Callable[[Any, Advance], Any], Sequence[Any], Advance], Sequence[Any]]
Resolver = Callable[[Any, str, "PassRunner"], Tensor]
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Making:
    """What a recipe makes recordings with. ``most``: rows of a pass; ``n_workers``: processes that may work at once."""

    passes: PassRunner
    most: int
    n_workers: int = 1
    quiet: bool = False

    def spread(self, work: Callable[[Any, Advance], Any], units: Sequence[Any], advance: Advance) -> list[Any]:
        """Each unit's result, in their order."""
        found = dict(spread(work, units, self.n_workers, advance))
        return [found[place] for place in range(len(units))]


class Recipe(Protocol):
    """Makes recordings of one kind."""

    def needs(self, source: Any) -> Sequence[Any]:
        """What is recorded before."""
        ...

    def together(self, source: Any) -> Hashable:
        """Recordings for which this is equal are made at once."""
        ...

    def make(self, sources: Sequence[Any], making: Making) -> Mapping[Any, Mapping[str, np.ndarray]]:
        """The tensors of each."""
        ...


_RECIPES: dict[type, Recipe] = {}
_RESOLVERS: dict[type, Resolver] = {}


def register(kind: type, recipe: Recipe) -> None:
    """From now on recordings of this kind are made so. Where what they are changes, raise the kind's ``made``."""
    _RECIPES[kind] = recipe


def resolves(kind: type) -> Callable[[_F], _F]:
    """Mark a function that finds the tensor ``[step (or 1), half (or 1), width]`` that a source of this kind names."""

    def keep(resolver: _F) -> _F:
        _RESOLVERS[kind] = resolver
        return resolver

    return keep


def has_recipe(source: Any) -> bool:
    """Whether it is recorded by a recipe."""
    return type(source) in _RECIPES


def resolver_of(source: Any) -> Resolver | None:
    """What finds the tensor of a source; None for a recorded mean."""
    return _RESOLVERS.get(type(source))


def recorded_for(named: Any) -> tuple[Any, ...]:
    """What has to be recorded before an edit or a source can be used: the source itself, if it is a recording."""
    return getattr(named, "recorded", (named,))


def in_order(sources: Iterable[Any]) -> list[list[Any]]:
    """Recordings with a recipe and those that they need, in groups that are made at once, needs first."""
    groups: dict[tuple[int, type, Hashable], dict[Any, None]] = {}
    for source, depth in _depths(sources).items():
        recipe = _RECIPES[type(source)]
        groups.setdefault((depth, type(source), recipe.together(source)), {})[source] = None
    return [list(groups[key]) for key in sorted(groups, key=lambda key: key[0])]


def _depths(sources: Iterable[Any]) -> dict[Any, int]:
    """How many recordings have to be made one after the other before each."""
    found: dict[Any, int] = {}

    def depth(source: Any) -> int:
        if source not in found:
            needed = _RECIPES[type(source)].needs(source)
            found[source] = 1 + max((depth(one) for one in needed), default=-1)
        return found[source]

    for source in sources:
        depth(source)
    return found


def make(group: Sequence[Any], making: Making) -> Mapping[Any, Mapping[str, np.ndarray]]:
    """The tensors of recordings of one kind that are made at once."""
    return _RECIPES[type(group[0])].make(group, making)
