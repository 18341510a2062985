"""Panels as the W&B library makes them, from the sections' data and what the runs logged.

Imported by the command only: the library takes a second to import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from mech_music.dashboard.logged import LoggedRun, beginnings, varying
from mech_music.dashboard.sections import SECTIONS, Kind, Panel, Section
from mech_music.models.quiet import quiet_imports
from mech_music.results.canvas import COMPONENT_WORDS, colour

with quiet_imports():
    import wandb_workspaces.reports.v2.interface as wr

MOST = 12  # pairs of one run: those with the greatest values
_DASHES: Mapping[str, Any] = {
    "self": "dashed",
    "random": "dotted",
    "noise": "dotdash",
    "other": "dotted",
    "moved": "dotted",
}
_GREY, _BLACK = "#777777", "#000000"


@dataclass(frozen=True)
class Placed:
    """A panel as these runs fill it: ``before`` is the beginning of its keys, ``keys`` are whole."""

    panel: Panel
    before: str
    keys: tuple[str, ...]

    @property
    def title(self) -> str:
        pair = self.before.rstrip("/").replace("/", ", ")
        return f"{pair}: {self.panel.title}" if pair else self.panel.title


def sections_for(runs: Sequence[LoggedRun]) -> list[tuple[Section, list[Placed]]]:
    """The sections of which these runs logged something, each with its panels."""
    axes = varying(runs)
    wanted = [section for section in SECTIONS if section.varying is None or section.varying in axes]
    filled = [(section, [*chain.from_iterable(placed(panel, runs) for panel in section.panels)]) for section in wanted]
    return [(section, panels) for section, panels in filled if panels]


def placed(panel: Panel, runs: Sequence[LoggedRun]) -> list[Placed]:
    """A panel for each beginning with which its first key was logged."""
    if panel.kind in (Kind.media, Kind.table):
        media = dict.fromkeys(chain.from_iterable(run.media for run in runs))
        keys = tuple(key for key in media if key in panel.keys or key.startswith(_folders(panel)))
        return [Placed(panel, "", keys)] if keys else []
    logged = _logged(panel.kind, runs)
    first = panel.keys[0]
    found = sorted(set(beginnings(logged, first)), key=lambda before: -logged[before + first])
    return [Placed(panel, before, _keys(panel, before, logged)) for before in sorted(found[:MOST])]


def _folders(panel: Panel) -> tuple[str, ...]:
    return tuple(key for key in panel.keys if key.endswith("/"))


def _logged(kind: Kind, runs: Sequence[LoggedRun]) -> Mapping[str, float]:
    together: dict[str, float] = {}
    for run in runs:
        keys = run.curves if kind in (Kind.curves, Kind.points) else run.values
        together |= {key: max(value, together.get(key, value)) for key, value in keys.items()}
    return together


def _keys(panel: Panel, before: str, logged: Mapping[str, float]) -> tuple[str, ...]:
    optional = [before + key for key in panel.if_logged]
    return (*(before + key for key in panel.keys), *(key for key in optional if key in logged))


# -- as the library's objects ------------------------------------------------------------------------------


def draw(panel: Placed, runs: Sequence[LoggedRun] = (), place: str = "") -> Any:
    """The library's panel. With ``runs``, their lines have the names, colours and dashes of the figures.

    ``place``: where it stands, from which it gets an id that is the same each time.
    """
    made = _drawn(panel, runs)
    made._id = identity(place, panel.title, panel.panel.kind.value, *panel.keys)
    return made


def identity(*words: str) -> str:
    """Twelve hex digits for the words: the library's own ids are drawn at random."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _drawn(placed: Placed, runs: Sequence[LoggedRun]) -> Any:
    panel, keys, title = placed.panel, list(placed.keys), placed.title
    match panel.kind:
        case Kind.curves | Kind.points:
            x: Any = panel.x if panel.x == "layer" else placed.before + panel.x
            lines = _lines(keys, runs, dots=panel.kind is Kind.points)
            return wr.LinePlot(title=title, x=x, y=list(keys), title_x=x, smoothing_type="none", **lines)
        case Kind.sets | Kind.best:
            return wr.BarPlot(title=title, metrics=list(keys))
        case Kind.runs | Kind.doses:
            return wr.ScatterPlot(title=title, x=_x(placed), y=wr.SummaryMetric(keys[0]))
        case Kind.media:
            return wr.MediaBrowser(title=title, media_keys=keys)
        case Kind.table:
            return wr.WeavePanelSummaryTable(table_name=keys[0])


def _x(placed: Placed) -> Any:
    section, _, name = placed.panel.x.partition(".")
    return wr.Config(name) if section == "config" else wr.SummaryMetric(placed.before + placed.panel.x)


def _lines(keys: Sequence[str], runs: Sequence[LoggedRun], dots: bool) -> dict[str, Any]:
    """Name, colour, width and dash of every line of every run."""
    if not runs:
        return {}
    apart = varying(runs)
    styles = [(f"{run.run_id}:{key}", *_style(run, key, apart, dots)) for run in runs for key in keys]
    names = ("line_titles", "line_colors", "line_widths", "line_marks")
    return {name: {style[0]: style[at] for style in styles} for at, name in enumerate(names, start=1)}


def _style(run: LoggedRun, key: str, apart: Sequence[str], dots: bool) -> tuple[str, str, float, str]:
    component = run.axis("component")
    words = {"component": COMPONENT_WORDS[component]}
    name = ", ".join(words.get(axis, run.axis(axis)) for axis in apart) or COMPONENT_WORDS[component]
    parts = key.split("/")
    if "control" in parts:
        control = parts[parts.index("control") + 1]
        return f"{name}, {run.schema.role(control).label}", _GREY, 1.0, _DASHES[control]
    if parts[-1].startswith("ndcg_full"):
        return "full model", _BLACK, 1.0, "dotted"
    if parts[-1].startswith("ideal_"):
        return "ideal: only the two concepts trade places", _BLACK, 1.0, "dotdotdash"
    end = next((f", {end} end" for end in ("low", "high") if key.endswith(f"_{end}")), "")
    end = ", before the edit" if key.endswith("_before") else end
    return name + end, colour(component), 0.8 if end else 2.0, "points" if dots else "dotted" if end else "solid"
