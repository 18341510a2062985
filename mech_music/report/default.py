"""The page of a task: what it declares, or what its schema alone can tell."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mech_music.report.found import Found
from mech_music.report.view import Chart, Clips, Heat, Paragraph, View, beside_roles
from mech_music.report.words import methods
from mech_music.results.beside import beside_controls
from mech_music.results.columns import Schema
from mech_music.tasks.registry import declared, find_task


def view_of(schema: Schema) -> View:
    """The page of the schema's task, with the metrics that a user added."""
    page = declared(schema.task, "page")
    if page is None:
        return default_view(schema)
    view: View = page()
    more = tuple(name for name in schema.metrics if name not in find_task(schema.task).schema.metrics)
    compared = view.of_controls and view.of_controls + more
    return replace(view, shown=view.shown + more, of_controls=compared, price=view.price and view.price + more)


def default_view(schema: Schema) -> View:
    """Every metric beside its controls: against the first axis that is a number, and by the first of the others."""
    across, *others = schema.own_axes
    down = next(axis for axis in [*others, "model", *schema.axes] if axis in {*schema.axes} - {across, "role"})
    rank, clips = schema.metrics[0], {column.name for column in schema.clip_columns}
    lines = (down,) if others else ()
    return View(
        kind=schema.task.replace("_", " "),
        title=lambda found: f"{found.schema.task.replace('_', ' ').capitalize()}, model {found.models}",
        question=lambda found: f"What the task {found.schema.task} measured: {', '.join(found.schema.metrics)}.",
        methods=_methods,
        beside=partial(beside_controls, shown=schema.metrics)
        if schema.comparison
        else partial(beside_roles, decides=rank),
        site=", ".join("{layer}" if axis == "layer" else f"{axis} {{{axis}}}" for axis in (across, down)),
        shown=schema.metrics,
        rank=rank,
        of_controls=schema.metrics,
        heat=Heat(across=across, down=down),
        clips=Clips(told=(rank,)) if "row" in clips else None,
        charts=(Chart("curves", f"By {across}", f"By {across}", schema.metrics, x=across, lines=lines),),
    )


def _methods(found: Found) -> list[Paragraph]:
    own = found.schema.own_axes
    axes = [f"{column.name}: {column.meaning}." for column in found.schema.axis_columns if column.name in own]
    roles = [f"{role.name}: {role.meaning or role.label}." for role in found.schema.controls]
    return methods(found, "lines", [("Axes", axes), ("Controls", roles)])
