"""A task is two pure functions: what clips and recordings it needs, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pandas as pd

from mech_music.config.schema import RunConfig
from mech_music.edits.row import Row, Source
from mech_music.results.audio import Choice

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers


class Task(Protocol):
    """Add one: a class with these methods in this folder, a YAML in ``conf/task/``, and its columns in `schema`."""

    def plan(self, run: RunConfig) -> Sequence[Row | Source]:
        """Every row and recording the task needs, in a fixed order; they may repeat. UserError if there can be none."""
        ...

    def score(self, run: RunConfig, answers: Answers) -> pd.DataFrame:
        """The tidy table: one line per condition and prompt, the task's name in its first column."""
        ...

    def listeners(self, run: RunConfig) -> tuple[str, ...]:
        """The names of what hears every clip of the plan."""
        ...

    def choose_clips(self, run: RunConfig, table: pd.DataFrame) -> list[Choice]:
        """The clips worth hearing."""
        ...


@runtime_checkable
class Exporting(Protocol):
    """A task that leaves more than tables, figures and clips."""

    def export(self, run: RunConfig, answers: Answers, weights: str, folder: Path) -> None:
        """Write it to the job's folder. ``weights``: the fingerprint of the model's checkpoint."""
        ...
