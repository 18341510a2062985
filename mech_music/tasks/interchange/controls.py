"""Effects beside their controls: one line per effect, with the control that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd

from mech_music.metrics.metric import Metric
from mech_music.results.columns import Role
from mech_music.results.tables import ABOVE, BELOW, schema_of
from mech_music.tasks.interchange.columns import AXES, INTERCHANGE

# A control without an edit (noise): nothing of the edit tells two of them apart.
_OF_THE_EDIT = ("technique", "component", "layer", "strength", "frames", "half", "history")
# A control is an edit of its own (``technique`` may name it), and may be written once for several strengths.
_ANY_TECHNIQUE = tuple(axis for axis in AXES if axis != "technique")
_OF_THE_SITE = tuple(axis for axis in _ANY_TECHNIQUE if axis != "strength")
_OF_AN_EDIT = (AXES, _ANY_TECHNIQUE, _OF_THE_SITE)
_OF_NONE = (tuple(a for a in AXES if a not in _OF_THE_EDIT),)
_SHOWN = ("effectiveness", "precision", "kept")


def beside_controls(summary: pd.DataFrame) -> pd.DataFrame:
    """The technique's lines of a summary, joined to their controls.

    Adds ``<control>_<metric>`` with its ``_low`` and ``_high`` for effectiveness, precision, kept and the user's own
    metrics (NaN where that control was not run), and ``verdict``: 1 if the interval of the effectiveness lies above
    those of all controls that were run, −1 if below all of them, else 0 (and 0 without any control).
    """
    schema = schema_of(summary)
    shown = [*_SHOWN, *(metric.name for metric in extra_metrics(summary))]
    effects = _of_role(summary, schema.roles[0]).reset_index(drop=True)
    for control in schema.controls:
        effects = effects.join(_control_of(effects, summary, control, shown))
    return schema.attach(effects.assign(verdict=_verdicts(effects, [control.name for control in schema.controls])))


def extra_metrics(summary: pd.DataFrame) -> list[Metric]:
    """The metrics that a user added."""
    return [metric for metric in schema_of(summary).metric_columns if metric not in INTERCHANGE.metric_columns]


def _of_role(summary: pd.DataFrame, role: str) -> pd.DataFrame:
    return cast(pd.DataFrame, summary[summary["role"] == role])


def _control_of(effects: pd.DataFrame, summary: pd.DataFrame, control: Role, shown: Sequence[str]) -> pd.DataFrame:
    """The lines of one control in the order of the effects, by the closest axes that fit."""
    values = [metric + end for metric in shown for end in ("", "_low", "_high")]
    renamed = {value: f"{control.name}_{value}" for value in values}
    found = pd.DataFrame(np.nan, index=effects.index, columns=pd.Index(list(renamed.values())))
    lines = _of_role(summary, control.name)
    for shared in _OF_NONE if control.level else _OF_AN_EDIT:
        keys = [axis for axis in shared if axis != "role"]
        once = lines.drop_duplicates(keys).rename(columns=renamed)
        matched = effects.reindex(columns=keys).merge(once, how="left", on=keys)
        found = found.where(found.notna(), matched.reindex(columns=found.columns))
    return found


def _verdicts(effects: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    lows = effects[[f"{name}_effectiveness_low" for name in names]].to_numpy()
    highs = effects[[f"{name}_effectiveness_high" for name in names]].to_numpy()
    low, high = (effects[f"effectiveness_{end}"].to_numpy()[:, None] for end in ("low", "high"))
    run = ~np.isnan(lows)
    any_run = run.any(axis=1)
    above = any_run & (~run | (low > highs)).all(axis=1)
    below = any_run & (~run | (high < lows)).all(axis=1)
    return above.astype(int) * ABOVE + below.astype(int) * BELOW


def controls_run(summary: pd.DataFrame) -> list[Role]:
    """The controls that a summary holds, in their order."""
    return [control for control in schema_of(summary).controls if control.name in set(summary["role"])]
