"""Forecasts in the terminal: every layer's AUC and gap by horizon, and the controls."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mech_music.results.beside import beside_controls
from mech_music.results.tables import ABOVE, Line, blocks_of, layers_of, lines_of, title_of
from mech_music.results.terminal import empty_table, number
from mech_music.tasks.horizon.columns import HORIZON

_NOTE = (
    "AUC, and in brackets how far it is from that of the hardest control (of the same layer, or without one). •: above every "
    "control, track by track, family-wise over the table. Controls with a layer: mean over layers."
)


def horizon_table(summary: pd.DataFrame) -> RenderableType:
    """A table for each regime: layers and controls down, horizons across."""
    parts: list[RenderableType] = [Text(title_of(summary), style="bold")]
    verdicts = lines_of(beside_controls(summary, ["auc"]))
    for lines in blocks_of(summary, HORIZON.axes_beside("layer", "horizon", "component", "prompts")):
        first = lines[0]
        effects = [line for line in verdicts if line["regime"] == first["regime"] and line["model"] == first["model"]]
        parts.append(_table(lines, effects))
    return Group(*parts, Text(_NOTE, style="dim"))


def _table(lines: Sequence[Line], effects: Sequence[Line]) -> Table:
    first, horizons = lines[0], sorted({line["horizon"] for line in lines})
    n = max(line["n"] for line in lines)
    table = empty_table(title=f"{first['regime'] or 'pieces'}, {n} tracks", title_justify="left", title_style="")
    table.add_column(first["horizons_in"], no_wrap=True)
    for one in horizons:
        table.add_column(f"{one:g}", justify="right", no_wrap=True)
    for layer in layers_of(effects):
        own = {line["horizon"]: line for line in effects if line["layer"] == layer}
        table.add_row(f"layer {layer}", *(_cell(own[one]) if one in own else "–" for one in horizons))
    for role in HORIZON.controls:
        found = [
            [line["auc"] for line in lines if line["role"] == role.name and line["horizon"] == h] for h in horizons
        ]
        cells = [number(sum(each) / len(each)) if each else "–" for each in found]
        table.add_row(role.word, *cells, style="cyan")
    return table


def _cell(line: Line) -> str:
    gap = "" if math.isnan(line["margin"]) else f" ({number(line['margin'], '+')})"
    return f"{number(line['auc'])}{gap}{'•' if line['verdict'] == ABOVE else ''}"
