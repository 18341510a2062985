"""Erasing in the terminal: for each concept the fewest features that are enough, and what is heard meanwhile."""

from __future__ import annotations

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from mech_music.results.tables import Line, blocks_of, lines_of, title_of
from mech_music.results.terminal import empty_table, number, spread
from mech_music.tasks.sae_erase.columns import SAE_ERASE
from mech_music.tasks.sae_erase.fewest import fewest

_BLOCK = SAE_ERASE.axes_beside("features", "chance")


def erasing_table(summary: pd.DataFrame) -> RenderableType:
    """A line for each concept, and below it what each number of features does to the mean of concepts."""
    table = empty_table(title=title_of(summary), title_style="bold")
    for name in (
        "concept",
        "layer",
        "chance",
        "unedited",
        "fewest features",
        "of",
        "heard then",
        "random then",
        "kept then",
    ):
        table.add_column(name, justify="left" if name == "concept" else "right", no_wrap=True)
    for lines in blocks_of(summary, _BLOCK):
        erased = [line for line in lines if line["role"] == "erased"]
        found, first = fewest(erased), erased[0]
        at = found.number or found.most
        then = {line["role"]: line for line in lines if line["features"] in (0, at)}
        heard = [_heard(then, role, "heard") for role in ("unedited", "erased", "random")]
        table.add_row(first["concept"], first["layer"], number(first["chance"]), heard[0], str(found),
                      str(first["width"]), *heard[1:], _heard(then, "erased", "kept"))  # fmt: skip
    note = "Fewest: the first number at which the concept is heard no more often than chance, [interval]."
    return Group(table, _means(summary), Text(note, style="dim"))


def _means(summary: pd.DataFrame) -> RenderableType:
    table, lines = empty_table(), lines_of(summary)
    for name in ("features", "heard", "random", "kept", "random kept", "surprise", "random surprise"):
        table.add_column(name, justify="right", no_wrap=True)
    for n in sorted({line["features"] for line in lines}):
        own = {line["role"]: line for line in lines if line["features"] == n}
        cells = [
            _heard(own, role, f"pooled_{metric}") for metric in ("heard", "kept", "surprise") for role in _roles(n)
        ]
        table.add_row(str(n), *cells)
    return table


def _roles(n: int) -> tuple[str, str]:
    return ("erased", "random") if n else ("unedited", "")


def _heard(own: dict[str, Line], role: str, metric: str) -> str:
    return spread(own[role], metric) if role in own else "–"
