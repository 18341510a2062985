"""What the terminal shows while activations are read and SAEs are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Show = Callable[..., None]
"""``show(amount, "how it stands")``: so much more is done."""


@contextmanager
def progress(what: str, total: float, quiet: bool = False) -> Iterator[Show]:
    """One bar, with a few words beside it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(what, total=round(total), words="")

        def show(amount: float, words: str | None = None) -> None:
            bar.advance(task, amount)
            if words is not None:
                bar.update(task, words=words)

        yield show
        bar.update(task, completed=total)
