"""Every figure, drawn from a summary alone: no model, no store. One name each, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mech_music.base.workers import spread
from mech_music.metrics.metric import Metric
from mech_music.results import canvas
from mech_music.results.canvas import Sheet
from mech_music.results.columns import Schema, layer_order
from mech_music.results.tables import Line, lines_of, needing, schema_of, title_of, varying
from mech_music.tasks.protocol import Drawing
from mech_music.tasks.registry import known_task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mech_music.tasks.protocol import Figure

_MOST = 4  # metrics in one plain figure


def draw_all(summary: pd.DataFrame, folder: Path, n_workers: int = 1) -> list[Path]:
    """Every figure that the summary allows, drawn by so many processes; the files written, PNG and SVG.

    Those that the task declares, or plain curves. UserError if one needs a column that the table does not have.
    """
    kinds = _kinds(schema_of(summary).task)
    drawn = dict(spread(lambda kind, _: _draw(kind, summary, folder), kinds, n_workers, lambda _: None))
    return [path for place in sorted(drawn) for path in drawn[place]]


def _kinds(name: str) -> Sequence[Figure]:
    task = known_task(name)
    return task.figures() if task is not None and issubclass(task, Drawing) else (plain_curves,)


def _draw(kind: Figure, summary: pd.DataFrame, folder: Path) -> list[Path]:
    with needing(f"the figure {kind.__name__}", summary):
        return kind(summary, folder)


# -- of a task that declares none -------------------------------------------------------------------------


def plain_curves(summary: pd.DataFrame, folder: Path) -> list[Path]:
    """Every metric against the first axis in which lines differ, one curve for each value of the others."""
    schema, lines = schema_of(summary), lines_of(summary)
    axis, *others = [name for name in varying(summary) if name != "role"] or [schema.axes[-1]]
    paths: list[Path] = []
    for start in range(0, len(schema.metrics), _MOST):
        metrics = schema.metric_columns[start : start + _MOST]
        with Sheet(len(metrics), height=1.6 + 1.8 * len(metrics)) as sheet:
            for axes, metric in zip(sheet.axes, metrics, strict=True):
                _panel(axes, schema, lines, metric, axis, others)
            sheet.axes[-1].set_xlabel(axis)
            meanings = " ".join(f"{metric.word or metric.name}: {metric.meaning}." for metric in metrics)
            sheet.words(title_of(summary), f"{canvas.how_measured(lines)} {meanings}")
            page = [f"{start // _MOST + 1}"] if len(schema.metrics) > _MOST else []
            paths += sheet.save(folder, canvas.file_name(schema.task, axis, *page))
    return paths


def _panel(axes: Axes, schema: Schema, lines: Sequence[Line], metric: Metric, axis: str, others: Sequence[str]) -> None:
    places = {value: place for place, value in enumerate(sorted({line[axis] for line in lines}, key=_order))}
    shades = [*canvas.COLOURS.values(), canvas.OTHER_COLOUR]
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        placed = {**line, "place": places[line[axis]]}
        groups.setdefault((line["role"], *(line[other] for other in others)), []).append(placed)
    for number, ((role, *values), own) in enumerate(groups.items()):
        words = ", ".join(map(str, values))
        if role == schema.roles[0]:
            style: dict[str, Any] = {"color": shades[number % len(shades)], "label": words or schema.role(role).word}
        else:
            style = canvas.control_style(schema.role(role))
            style["label"] += f", {words}" if words else ""
        canvas.layer_curve(axes, own, metric.name, x="place", **style)
    axes.set_xticks(list(places.values()), [str(value) for value in places])
    axes.set_ylabel(metric.label)


def _order(value: Any) -> Any:
    return layer_order(value) if isinstance(value, str) else value
