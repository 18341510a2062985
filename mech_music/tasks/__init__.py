"""A task is two pure functions: what clips it needs, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pandas as pd

from mech_music.config import RunConfig
from mech_music.edits import Row
from mech_music.store import Outcome


class Task(Protocol):
    """Add one: a class with these two methods in this folder, and a YAML in ``conf/task/``."""

    def plan(self, run: RunConfig) -> list[Row]:
        """Every row the task needs, in a fixed order; rows may repeat."""
        ...

    def score(self, run: RunConfig, outcomes: Mapping[Row, Outcome]) -> pd.DataFrame:
        """The tidy table (`mech_music.schema`): one line per intervention and prompt."""
        ...
