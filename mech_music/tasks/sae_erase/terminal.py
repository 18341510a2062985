"""Erasing in the terminal: for each concept the fewest features that are enough, and what is heard meanwhile."""

from __future__ import annotations

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from mech_music.results.tables import Line, blocks_of, title_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.sae_erase.columns import SAE_ERASE
from mech_music.tasks.sae_erase.fewest import fewest

_BLOCK = SAE_ERASE.axes_beside("features", "chance")
_SITE = SAE_ERASE.axes_beside("features", "chance", "concept")


def erasing_table(summary: pd.DataFrame) -> RenderableType:
    """A line for each concept, and below it what each number of features does to the mean of concepts."""
    table = empty_table(title=title_of(summary), title_style="bold")
    for name in ("concept", "layer", "chance", "fewest", "of", "heard then", "random", "kept"):
        table.add_column(name, justify="left" if name == "concept" else "right", no_wrap=True)
    for lines in blocks_of(summary, _BLOCK):
        erased = [line for line in lines if line["role"] == "erased"]
        found, first = fewest(erased), erased[0]
        at = found.number or found.most
        then = {line["role"]: line for line in lines if line["features"] == at}
        cells = [_cell(then, "erased", "heard"), _cell(then, "random", "heard"), _cell(then, "erased", "kept")]
        table.add_row(
            first["concept"], first["layer"], number(first["chance"]), str(found), str(first["width"]), *cells
        )
    note = "Fewest: the first number at which the concept is heard no more often than chance, [interval]."
    return Group(table, _means(summary), Text(note, style="dim"))


def _means(summary: pd.DataFrame) -> RenderableType:
    """Over concepts, where there are several."""
    table = empty_table()
    for name in ("layer", "features", "heard", "random", "kept", "random", "surprise", "random"):
        table.add_column(name, justify="right", no_wrap=True)
    for lines in blocks_of(summary, _SITE):
        pooled = "pooled_" if len({line["concept"] for line in lines}) > 1 else ""
        for n in sorted({line["features"] for line in lines}):
            own = {line["role"]: line for line in lines if line["features"] == n}
            roles = ("erased", "random") if n else ("unedited", "")
            cells = [_cell(own, role, pooled + metric) for metric in SAE_ERASE.metrics for role in roles]
            table.add_row(lines[0]["layer"], str(n), *cells)
    return table


def _cell(own: dict[str, Line], role: str, metric: str) -> str:
    return spread(own[role], metric) if role in own else "–"
