"""What a task is: two pure functions, what clips and recordings it needs and what they say, and how that is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from mech_music.edits.row import Row, Source
    from mech_music.engine.engine import Answers
    from mech_music.results.audio import Choice
    from mech_music.results.columns import Schema
    from mech_music.saes.catalogue import Catalogue

    Figure = Callable[[pd.DataFrame, Path], list[Path]]


class Task(Protocol):
    """Add one: a class with these members, and ``task/<name>.yaml`` in ``conf/`` or in a folder of your own.

    ``settings``: the axes that it adds to the command line, a dataclass that extends `RunConfig` (or that itself, for
    none). ``schema``: its table. How it is shown may be declared as well (`Drawing`, `Tabulating`, and static methods
    ``page() -> View`` for the report, ``curves(summary) -> Curves`` and ``panels(schema) ->
    tuple[Section, ...]`` for W&B);
    what is not gets a plain default made from the schema.
    """

    name: ClassVar[str]
    settings: ClassVar[type[Any]]
    schema: ClassVar[Schema]

    def listeners(self, run: Any) -> tuple[str, ...]:
        """What hears its clips: ``("classifier",)``, or nothing."""
        ...

    def plan(self, run: Any) -> Sequence[Row | Source]:
        """Every row and recording the task needs, in a fixed order; they may repeat. UserError if there can be none."""
        ...

    def score(self, run: Any, answers: Answers) -> pd.DataFrame:
        """The tidy table: one line per condition and prompt, the task's name in its first column."""
        ...

    def choose_clips(self, run: Any, table: pd.DataFrame) -> list[Choice]:
        """The clips worth hearing."""
        ...


@runtime_checkable
class Exporting(Protocol):
    """A task that leaves more than tables, figures and clips."""

    def export(self, run: Any, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
        """Write it to the job's folder.

        ``table``: what `Task.score` made of the answers. ``weights``: the fingerprint of the model's checkpoint.
        """
        ...


@runtime_checkable
class Browsing(Protocol):
    """A task whose features can be looked at one by one: a browser of them is written beside its results."""

    def browsed(self, run: Any) -> Sequence[Row | Source]:
        """What that needs. Empty for no browser."""
        ...

    def catalogue(self, run: Any, answers: Answers) -> Catalogue:
        """Every feature, made of the answers to `browsed`."""
        ...


@runtime_checkable
class Drawing(Protocol):
    """A task with figures of its own."""

    @staticmethod
    def figures() -> Sequence[Figure]:
        """Functions from a summary and a folder to the files written there. Imported when they are drawn."""
        ...


@runtime_checkable
class Tabulating(Protocol):
    """A task with a terminal table of its own."""

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """The summary for a terminal of so many columns."""
        ...
