"""Effects beside their controls: one line per effect, with the control that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.results.columns import AXES, CONTROLS, Role

# The noise floor has no edit, so nothing of the edit tells two of them apart.
_OF_THE_EDIT = ("technique", "component", "layer", "strength", "frames", "half", "history")
# A control is an edit of its own (``technique`` may name it), and may be written once for several strengths.
_ANY_TECHNIQUE = tuple(axis for axis in AXES if axis != "technique")
_OF_THE_SITE = tuple(axis for axis in _ANY_TECHNIQUE if axis != "strength")
_SHARED_BY = {
    Role.self: [AXES, _ANY_TECHNIQUE, _OF_THE_SITE],
    Role.random: [AXES, _ANY_TECHNIQUE, _OF_THE_SITE],
    Role.noise: [tuple(a for a in AXES if a not in _OF_THE_EDIT)],
}
_SHOWN = ("effectiveness", "precision", "kept")
ABOVE, BELOW, WITHIN = 1, -1, 0


def beside_controls(summary: pd.DataFrame) -> pd.DataFrame:
    """The technique's lines of a summary, joined to their controls.

    Adds ``<control>_<metric>`` with its ``_low`` and ``_high`` for effectiveness, precision and kept (NaN where
    that control was not run), and ``verdict``: 1 if the interval of the effectiveness lies above those of all
    controls that were run, −1 if below all of them, else 0 (and 0 without any control).
    """
    effects = _of_role(summary, Role.technique).reset_index(drop=True)
    for control in CONTROLS:
        effects = effects.join(_control_of(effects, summary, control))
    return effects.assign(verdict=_verdicts(effects))


def _of_role(summary: pd.DataFrame, role: Role) -> pd.DataFrame:
    return cast(pd.DataFrame, summary[summary["role"] == role.value])


def _control_of(effects: pd.DataFrame, summary: pd.DataFrame, control: Role) -> pd.DataFrame:
    """The lines of one control in the order of the effects, by the closest axes that fit."""
    values = [metric + end for metric in _SHOWN for end in ("", "_low", "_high")]
    renamed = {value: f"{control.value}_{value}" for value in values}
    found = pd.DataFrame(np.nan, index=effects.index, columns=pd.Index(list(renamed.values())))
    lines = _of_role(summary, control)
    for shared in _SHARED_BY[control]:
        keys = [axis for axis in shared if axis != "role"]
        once = lines.drop_duplicates(keys).rename(columns=renamed)
        matched = effects.reindex(columns=keys).merge(once, how="left", on=keys)
        found = found.where(found.notna(), matched.reindex(columns=found.columns))
    return found


def _verdicts(effects: pd.DataFrame) -> np.ndarray:
    names = [control.value for control in CONTROLS]
    lows = effects[[f"{name}_effectiveness_low" for name in names]].to_numpy()
    highs = effects[[f"{name}_effectiveness_high" for name in names]].to_numpy()
    low, high = (effects[f"effectiveness_{end}"].to_numpy()[:, None] for end in ("low", "high"))
    run = ~np.isnan(lows)
    any_run = run.any(axis=1)
    above = any_run & (~run | (low > highs)).all(axis=1)
    below = any_run & (~run | (high < lows)).all(axis=1)
    return above.astype(int) * ABOVE + below.astype(int) * BELOW


def blocks_of(effects: pd.DataFrame, keys: Sequence[str]) -> list[list[Mapping[str, Any]]]:
    """The lines in blocks that agree on ``keys``, both in the table's order."""
    blocks: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for line in effects.to_dict("records"):
        blocks.setdefault(tuple(line[key] for key in keys), []).append(cast(Mapping[str, Any], line))
    return list(blocks.values())


def controls_run(summary: pd.DataFrame) -> list[str]:
    """The controls that a summary holds, in their order."""
    return [control.value for control in CONTROLS if control.value in set(summary["role"])]
