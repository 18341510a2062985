"""Effects beside their controls: one line per effect, with the controls that belong to it, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd

from mech_music.results.columns import Role, Schema
from mech_music.results.comparison import Lines
from mech_music.results.tables import ABOVE, BELOW, EQUAL, lines_of, schema_of


def beside_controls(summary: pd.DataFrame, shown: Sequence[str]) -> pd.DataFrame:
    """The effects' lines of a summary whose schema compares them with controls, joined to these.

    Adds ``<control>_<metric>`` with its ``_low`` and ``_high`` for the metrics ``shown`` (NaN where that control was
    not run), and ``verdict``: 1 if the metric that is compared is above that of every control that was run, prompt by
    prompt and over all sites of the table together, −1 if below every one, 2 if its intervals exclude a distance from
    any of them that counts (`statistics.equivalence`), else 0.
    """
    schema = schema_of(summary)
    effects = _of_role(summary, schema.roles[0]).reset_index(drop=True)
    for control in schema.controls:
        effects = effects.join(_control_of(effects, summary, control, shown))
    return schema.attach(effects.assign(verdict=_verdicts(effects)))


def controls_run(summary: pd.DataFrame) -> list[Role]:
    """The controls that a summary holds, in their order."""
    return [control for control in schema_of(summary).controls if control.name in set(summary["role"])]


def _of_role(summary: pd.DataFrame, role: str) -> pd.DataFrame:
    return cast(pd.DataFrame, summary[summary["role"] == role])


def _control_of(effects: pd.DataFrame, summary: pd.DataFrame, control: Role, shown: Sequence[str]) -> pd.DataFrame:
    """The means of one control in the order of the effects; NaN where there is none."""
    values, schema = [metric + end for metric in shown for end in ("", "_low", "_high")], schema_of(summary)
    by_axes = dict(zip(_axes(summary, schema), lines_of(summary), strict=True))
    assert schema.comparison is not None
    lines = Lines(schema, schema.comparison, by_axes)
    missing = dict.fromkeys(values, np.nan)
    found = [by_axes.get(lines.control_of(axes, control) or (), missing) for axes in _axes(effects, schema)]
    joined = pd.DataFrame([{f"{control.name}_{value}": line[value] for value in values} for line in found])
    return joined.reindex(columns=[f"{control.name}_{value}" for value in values]).set_index(effects.index)


def _axes(lines: pd.DataFrame, schema: Schema) -> list[tuple[object, ...]]:
    return list(lines[list(schema.axes)].itertuples(index=False, name=None))


def _verdicts(effects: pd.DataFrame) -> np.ndarray:
    chance = 1.0 - effects["level"].to_numpy() + 1e-12
    above, below = (effects[f"p_{side}"].to_numpy() <= chance for side in ("above", "below"))
    equal = ~above & ~below & (effects["margin_most"].to_numpy() <= effects["equivalence"].to_numpy())
    return above.astype(int) * ABOVE + below.astype(int) * BELOW + equal.astype(int) * EQUAL
