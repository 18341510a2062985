"""What W&B shows of a task's runs, as data: sections of panels, and the keys that each panel needs.

A key's beginning, which tells the pairs of one run apart (``guitar-piano/effectiveness``), is left out: a panel is
made for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mech_music.metrics.metric import Metric
from mech_music.results.columns import Schema
from mech_music.tasks.registry import declared
from mech_music.tracking.curves import ENDS

Kind = Literal["curves", "points", "bars", "scatter", "media", "table"]


@dataclass(frozen=True)
class Panel:
    """One panel. ``keys``: logged by every run that logs the first of them. ``if_logged``: named where they are.

    kind: ``curves`` and ``points`` of keys logged at every layer, against ``x`` (empty: the layer); ``bars`` of summary
    values; a ``scatter`` of a summary value against ``x`` (``config.<key>`` for a config value), a point for each run;
    ``media`` and ``table``, where ``keys`` are the beginnings of keys.
    """

    title: str
    kind: Kind
    keys: tuple[str, ...]
    if_logged: tuple[str, ...] = ()
    x: str = ""

    @property
    def place(self) -> Literal["history", "summary", "media"]:
        """Where W&B keeps the keys of its kind."""
        if self.kind in ("media", "table"):
            return "media"
        return "history" if self.kind in ("curves", "points") else "summary"


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


def sections_of(schema: Schema) -> tuple[Section, ...]:
    """The task's own sections, or its metrics as curves beside their controls; and those that all tasks share."""
    own = declared(schema.task, "panels")
    tables = Panel("summary", "table", ("summary",)), Panel("clips", "table", ("clips",))
    return (
        *(own(schema) if own else (plain(schema, schema.metric_columns),)),
        Section("Clips", "Clips worth hearing.", (Panel("clips", "media", ("audio",)),)),
        Section("Figures", "As in the runs' folders.", (Panel("figures", "media", ("figures/",)),)),
        Section("Tables", "Means and intervals, and the numbers of every clip.", tables),
    )


def plain(schema: Schema, metrics: Sequence[Metric], name: str = "Metrics") -> Section:
    """Metrics as curves beside their controls."""
    panels = [
        Panel(
            one.title, "curves", spread(one.name), tuple(f"control/{role.name}/{one.name}" for role in schema.controls)
        )
        for one in metrics
    ]
    return Section(name, "Means over prompts with the ends of their intervals, beside controls.", tuple(panels))
