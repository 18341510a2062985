"""What a run logs to W&B, as numbers by key: a task's own ``curves``, or what its schema tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mech_music.results.tables import Line, lines_of, schema_of
from mech_music.tasks.registry import declared

ENDS = ("", "_low", "_high")


@dataclass(frozen=True)
class Curves:
    """``history``: metrics by key at each value of ``x``; ``summary``: one value a run. Missing values are left out."""

    x: str = "layer"
    history: dict[float, dict[str, float]] = field(default_factory=dict)
    summary: dict[str, float] = field(default_factory=dict)

    def add(self, at: object, before: str, values: Mapping[str, float]) -> None:
        """Values at a number of the axis ``x``, or (``together/effectiveness``) at one of its words."""
        known = {key: float(value) for key, value in values.items() if not math.isnan(value)}
        try:
            self.history.setdefault(float(str(at)), {}).update({before + key: one for key, one in known.items()})
        except ValueError:
            self.summary.update({f"{before}{at}/{key}".lstrip("/"): one for key, one in known.items()})


def curves_of(summary: pd.DataFrame) -> Curves:
    """Metrics by layer, and summary values, of any task's summary."""
    own = declared(schema_of(summary).task, "curves")
    return own(summary) if own else curves_by_axis(summary)


def curves_by_axis(summary: pd.DataFrame, apart: Sequence[str] = ()) -> Curves:
    """Every metric, with the ends of its interval, against the first axis that is a number.

    Keys are ``<metric>``, ``<metric>_low``, …, and ``control/<role>/<metric>``. Where lines differ in other axes
    (``apart``, else all), they begin with these: ``guitar/ndcg``.
    """
    schema = schema_of(summary)
    x, *others = schema.own_axes
    lines = lines_of(summary)
    before = prefixes(lines, [word_of(axis) for axis in apart or others])
    found = Curves(x)
    for line in lines:
        control = "" if line["role"] == schema.roles[0] else f"control/{line['role']}/"
        found.add(line[x], before(line) + control, spreads(line, schema.metrics))
    return found


def spreads(line: Line, metrics: Iterable[str], column: str = "") -> dict[str, float]:
    """The metrics' means with the ends of their intervals; ``column`` stands before the names of their columns."""
    return {metric + end: line[column + metric + end] for metric in metrics for end in ENDS}


def word_of(axis: str) -> Callable[[Line], str]:
    """The line's value on an axis, as a word."""
    return lambda line: f"{line[axis]:g}" if isinstance(line[axis], float) else str(line[axis])


def prefixes(lines: Sequence[Line], parts: Sequence[Callable[[Line], str]]) -> Callable[[Line], str]:
    """From a line to the beginning of its keys: the parts in which the lines differ."""
    apart = [part for part in parts if len({part(line) for line in lines}) > 1]
    return lambda line: "".join(f"{part(line)}/" for part in apart)
