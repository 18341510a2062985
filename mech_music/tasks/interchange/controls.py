"""Effects beside their controls, in the metrics that an interchange shows of both."""

from __future__ import annotations

import pandas as pd

from mech_music.metrics.metric import Metric
from mech_music.results import beside
from mech_music.results.beside import controls_run
from mech_music.results.tables import schema_of
from mech_music.tasks.interchange.columns import INTERCHANGE

__all__ = ["beside_controls", "controls_run", "extra_metrics"]
_SHOWN = ("effectiveness", "precision", "kept", "pooled_effectiveness", "pooled_precision")


def beside_controls(summary: pd.DataFrame) -> pd.DataFrame:
    """As `mech_music.results.beside` has it, for effectiveness and precision (and their means over pairs), kept and
    the user's own metrics.
    """
    return beside.beside_controls(summary, [*_SHOWN, *(metric.name for metric in extra_metrics(summary))])


def extra_metrics(summary: pd.DataFrame) -> list[Metric]:
    """The metrics that a user added."""
    return [metric for metric in schema_of(summary).metric_columns if metric not in INTERCHANGE.metric_columns]
