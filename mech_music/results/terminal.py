"""Results as a table in the terminal."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from rich import box
from rich.console import RenderableType
from rich.table import Table

from mech_music.results.tables import Line, lines_of, needing, schema_of, title_of, varying
from mech_music.tasks.protocol import Tabulating
from mech_music.tasks.registry import known_task


def terminal_table(summary: pd.DataFrame, width: int = 100) -> RenderableType:
    """The summary of any task: what the task declares, or a plain table. ``width``: that of the terminal, in columns.

    UserError if it needs a column that the summary does not have.
    """
    task = known_task(schema_of(summary).task)
    with needing("the terminal table", summary):
        return task.terminal(summary, width) if task and issubclass(task, Tabulating) else plain_table(summary)


def plain_table(summary: pd.DataFrame) -> Table:
    """A line for each condition: the axes in which lines differ, and each metric's mean ± half its interval."""
    schema = schema_of(summary)
    shown = empty_table(title=title_of(summary), title_style="bold")
    named = varying(summary) or [schema.axes[-1]]
    for name in named:
        shown.add_column(name)
    for metric in schema.metric_columns:
        shown.add_column(metric.title, justify="right")
    for line in lines_of(summary):
        effect = line["role"] == schema.roles[0]
        cells = [spread(line, metric.name) for metric in schema.metric_columns]
        shown.add_row(*(str(line[name]) for name in named), *cells, style=None if effect else "cyan")
    return shown


def empty_table(**options: Any) -> Table:
    """A table without lines, in the one style of all."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, **{"padding": (0, 1, 0, 0), **options})


def number(value: float, sign: str = "") -> str:
    """Two decimals; a dash for what is missing. ``sign="+"``: with its sign."""
    return "–" if math.isnan(value) else f"{value:{sign}.2f}".replace("-", "−")


def spread(line: Line, metric: str, sign: str = "") -> str:
    """``mean ±half the width of the interval``, which a single prompt does not have."""
    half = (line[f"{metric}_high"] - line[f"{metric}_low"]) / 2
    return number(line[metric], sign) + ("" if math.isnan(half) else f" ±{half:.2f}")
