"""Does the model foresee? At a moment t of a piece, will the music at t + δ be a return of an earlier section?

Activations are read teacher-forced along pieces whose sections are known. Logistic probes forecast, out of fold, with
tracks whole; the same fits on the same rows are made of six controls (of the prompt two, alone and with position), and
an effect is an AUC above the hardest of them, track by track, over all regimes, horizons and layers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from mech_music.results.audio import Choice
from mech_music.structure.forecast import forecasts, readings  # noqa: F401  # their recipes
from mech_music.tasks.horizon.asked import asked, asked_of, lines_of
from mech_music.tasks.horizon.columns import HORIZON
from mech_music.tasks.horizon.settings import HorizonSettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.tasks.protocol import Figure


class Horizon:
    """Every regime and horizon that the pieces of the config have, at every layer."""

    name: ClassVar[str] = HORIZON.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = HORIZON

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Nothing is generated."""
        return ()

    def plan(self, run: Settings) -> list[Any]:
        """The pieces first, so that a horizon that they do not have is known before anything is read."""
        return [run.annotated, *(one.source for one in asked(run))]

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """One line for each role, layer, regime, horizon and track."""
        found = asked_of(run, answers)
        lines = [line for one in asked(run) for question in found for line in lines_of(run, one, question, answers)]
        return pd.DataFrame(lines, columns=pd.Index(HORIZON.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """There are none: nothing is generated."""
        return []

    def export(self, run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
        """``calibration.csv``, ``timelines.json`` with the sound of its pieces, and ``verdict.csv``."""
        from mech_music.tasks.horizon.exported import export

        export(run, answers, table, weights, folder)

    @staticmethod
    def figures() -> Sequence[Figure]:
        """AUC over the horizon, the gap by layer and horizon."""
        from mech_music.tasks.horizon.figures import curves, gaps

        return (curves, gaps)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """AUC and gap of every layer and horizon, and the controls."""
        from mech_music.tasks.horizon.terminal import horizon_table

        return horizon_table(summary)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.horizon.page import page

        return page()
