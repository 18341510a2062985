"""Steering in the terminal: every way and strength beside its controls, means over pairs; then pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mech_music.results.tables import Line, lines_of, title_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.sae_steer.columns import SAE_STEER
from mech_music.tasks.sae_steer.figures import of_pairs, way_of

_SHOWN = ("heard", "kept", "both", "surprise")
_SITE = ("layer", "width", "k", "activation", "sae_seed", "half")
_WAY = (*_SITE, "steer", "contrast", "schedule")


def steering_table(summary: pd.DataFrame) -> RenderableType:
    """Means over pairs, and below them the chosen features' lines of each pair."""
    table, lines = empty_table(title=title_of(summary), title_style="bold"), lines_of(summary)
    for name in ("steered with", "α", *_SHOWN):
        table.add_column(name, justify="left" if name == "steered with" else "right", no_wrap=True)
    ways = list(dict.fromkeys(tuple(line[key] for key in _WAY) for line in lines))
    for way in ways:
        own = [line for line in lines if tuple(line[key] for key in _WAY) == way]
        table.add_row(_name(own[0], lines), style="bold")
        for role in SAE_STEER.declared:
            _rows(
                table, role.word, [line for line in own if line["role"] == role.name], role.name == SAE_STEER.roles[0]
            )
    pairs = _pairs([line for line in lines if line["role"] == SAE_STEER.roles[0]])
    note = (
        f"{SAE_STEER.metric('surprise').title}: {SAE_STEER.metric('surprise').meaning}. Slope and p: of heard and kept."
    )
    return Group(table, pairs, Text(note, style="dim"))


def _rows(table: Table, word: str, lines: Sequence[Line], effect: bool) -> None:
    columns = {metric: of_pairs(lines, metric)[1] for metric in _SHOWN}
    for line in of_pairs(lines, "both")[0]:
        strength = f"{line['strength']:g}" if line["strength"] else ""
        cells = (spread(line, columns[metric]) for metric in _SHOWN)
        table.add_row(f"  {word}", strength, *cells, style=None if effect else "cyan")


def _pairs(lines: Sequence[Line]) -> RenderableType:
    table = empty_table()
    several = len({way_of(line) for line in lines}) > 1
    for name in ("pair", *(["steer"] if several else []), "α", *_SHOWN, "slope", "p, above all"):
        table.add_column(name, justify="left" if name in ("pair", "steer") else "right", no_wrap=True)
    for line in lines:
        cells = (number(line[metric]) for metric in _SHOWN)
        pair = f"{line['original']} → {line['desired']}"
        table.add_row(
            pair,
            *([way_of(line)] if several else []),
            f"{line['strength']:g}",
            *cells,
            spread(line, "slope", "+"),
            number(line["p_above"]),
        )
    return table


def _name(line: Line, lines: Sequence[Line]) -> str:
    told = [f"{key} {line[key]}" for key in _SITE if len({one[key] for one in lines}) > 1]
    return ", ".join([way_of(line), *told])
