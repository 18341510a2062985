"""One bar over clips."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def clips_bar(hidden: bool) -> Progress:
    """On stderr; its tasks' descriptions say of what."""
    counts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*counts, *times, console=Console(stderr=True), disable=hidden)
