"""What is left when jobs are done: tables and figures in the output folder, a table on the screen."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from mech_music.base.machine import n_cores
from mech_music.config.schema import StatisticsConfig
from mech_music.results.sweep import SUMMARY, TABLE, Done, Failed
from mech_music.results.tables import concat_tables, read_table, schema_of, summarise, write_summary, write_table
from mech_music.results.terminal import terminal_table


def save(table: pd.DataFrame, statistics: StatisticsConfig, folder: Path) -> pd.DataFrame:
    """Write the table of every clip and its summary; returns the summary."""
    summary = summarise(table, statistics.resamples, statistics.level, statistics.seed, statistics.equivalence)
    write_table(table, folder / TABLE)
    write_summary(summary, folder / SUMMARY)
    return summary


def draw(summary: pd.DataFrame, folder: Path, n_workers: int = 1) -> list[Path]:
    """Every figure that the summary allows, in ``figures/``."""
    from mech_music.results.figures import draw_all

    return draw_all(summary, folder / "figures", n_workers)


def show(summary: pd.DataFrame, folder: Path) -> None:
    """The summary on the screen, and where everything is."""
    console = Console()
    console.print(terminal_table(summary, console.width))
    parts = [name for name in ("figures", "audio") if (folder / name).is_dir()]
    console.print(f"Tables{', '.join(['', *parts])}: {folder}", soft_wrap=True, highlight=False)
    page = shlex.join(["python", "-m", "mech_music.report", str(folder)])
    console.print(f"One page of it all, to see and to hear: {page}", soft_wrap=True, highlight=False)


def finish_sweep(folder: Path, results: Sequence[Done | Failed], statistics: StatisticsConfig) -> None:
    """One table of all the jobs that finished, saved and shown, and the reasons of those that did not."""
    by_task: dict[str, list[Path]] = {}
    for result in results:
        if isinstance(result, Done):
            path = result.folder / TABLE
            by_task.setdefault(schema_of(read_table(path)).task, []).append(path)
    try:
        for task, tables in by_task.items():
            place = folder if len(by_task) == 1 else folder / task  # each task has columns of its own
            summary = save(concat_tables(tables), statistics, place)
            draw(summary, place, n_cores())
            show(summary, place)
    finally:
        _show_failures([result for result in results if isinstance(result, Failed)])


def _show_failures(failures: Sequence[Failed]) -> None:
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    for failure in failures:
        console.print(f"failed: {failure.folder.name}: {failure.reason}")
