"""What a user sees at the end, on the screen, and where it is kept."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console

from mech_music.terminal import terminal_table

TABLE, SUMMARY = "table.parquet", "summary.parquet"


def show_job(summary: pd.DataFrame, folder: Path) -> None:
    """The job's table, and where its files are."""
    console = Console()
    console.print(terminal_table(summary, console.width))
    console.print(f"Results: {folder}", soft_wrap=True)
