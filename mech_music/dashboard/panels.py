"""What W&B shows of a task's runs, as data: sections of panels, and the keys that each panel needs.

A key's beginning, which tells the pairs of one run apart (``guitar-piano/effectiveness``), is left out: a panel is
made for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mech_music.results.columns import Schema
from mech_music.tasks.declared import declared
from mech_music.tracking.curves import ENDS


class Kind(StrEnum):
    """How a panel draws its keys, and where it finds them."""

    curves = "curves"  # logged at every layer, drawn against ``x``
    points = "points"  # the same, without lines
    bars = "bars"  # summary values
    scatter = "scatter"  # two summary values (or a config value and one), a point for each run
    media = "media"  # sounds and images; a key that ends in a slash stands for all keys below it
    table = "table"


@dataclass(frozen=True)
class Panel:
    """One panel. ``keys``: logged by every run that logs the first of them. ``if_logged``: named where they are.

    ``x``: the key on the horizontal axis, empty for that of the curves; ``config.<key>`` for a config value.
    """

    title: str
    kind: Kind
    keys: tuple[str, ...]
    if_logged: tuple[str, ...] = ()
    x: str = ""


@dataclass(frozen=True)
class Section:
    """Panels under one heading. ``varying``: shown only where this part of the runs' configs takes several values."""

    name: str
    meaning: str
    panels: tuple[Panel, ...]
    varying: str = ""


def spread(metric: str) -> tuple[str, ...]:
    """A metric's mean with the ends of its interval."""
    return tuple(metric + end for end in ENDS)


SHARED = (
    Section("Clips", "Clips worth hearing.", (Panel("clips", Kind.media, ("audio",)),)),
    Section("Figures", "As in the runs' folders.", (Panel("figures", Kind.media, ("figures/",)),)),
    Section(
        "Tables",
        "Means and intervals, and the numbers of every clip.",
        (Panel("summary", Kind.table, ("summary",)), Panel("clips", Kind.table, ("clips",))),
    ),
)


def sections_of(schema: Schema) -> tuple[Section, ...]:
    """The task's own sections, or its metrics as curves beside their controls; and those that all tasks share."""
    own = declared(schema.task, "panels")
    return (*(own() if own else (metric_section(schema),)), *SHARED)


def metric_section(schema: Schema) -> Section:
    """Every metric of the schema."""
    panels = []
    for column in schema.metric_columns:
        controls = tuple(f"control/{role}/{column.name}" for role in schema.roles[1:])
        title = column.name.replace("_", " ") + (f" ({column.unit})" if column.unit else "")
        panels.append(Panel(title, Kind.curves, spread(column.name), controls))
    return Section("Measures", "Means over prompts with the ends of their intervals, beside controls.", tuple(panels))
