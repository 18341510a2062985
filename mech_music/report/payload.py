"""What the page's scripts draw from: the effects beside their controls, the words and the colours, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.report.clips import Heard
from mech_music.report.view import ENDS, View
from mech_music.results import canvas
from mech_music.results.columns import Schema, layer_order
from mech_music.results.tables import schema_of

MOST_LINES = 13_000  # of some 800 bytes each


def strongest_blocks(view: View, effects: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The effects that one page can hold, and a sentence on what was left out (empty: nothing)."""
    if len(effects) <= MOST_LINES:
        return effects, ""
    block = [axis for axis in schema_of(effects).axes if axis not in ("role", *view.within)]
    number = effects.groupby(block, sort=False, dropna=False).ngroup().to_numpy()
    best = np.full(number.max() + 1, -np.inf)
    if view.rank:
        np.fmax.at(best, number, effects[view.rank].to_numpy())
    ranked = np.argsort(-best, kind="stable")
    kept = ranked[np.bincount(number)[ranked].cumsum() <= MOST_LINES]
    which = "with the greatest effects" if view.rank else "that come first"
    words = f"This page shows the {len(kept)} of {len(best)} blocks {which}; summary.parquet has all."
    return cast(pd.DataFrame, effects[np.isin(number, kept)]).reset_index(drop=True), words


def payload(view: View, effects: pd.DataFrame, summary: pd.DataFrame, heard: Heard) -> dict[str, Any]:
    """``columns`` holds one list a column, a place in them is a cell."""
    schema = schema_of(summary)
    there = set(summary["role"])
    controls = [role for role in schema.roles[1:] if role in there]
    names = [*view.more, *(axis for axis in schema.axes if axis != "role"), "n", "failed", "verdict"]
    names += [metric + end for metric in schema.metrics for end in ENDS]
    names += [f"{control}_{metric}{end}" for control in controls for metric in view.of_controls for end in ENDS]
    return {
        "columns": {name: [_short(value) for value in effects[name].tolist()] for name in names},
        "selectors": selectors(view, effects),
        "layers": sorted(set(effects["layer"]), key=layer_order),
        "components": _components(effects["component"]),
        "controls": controls,
        "level": float(summary["level"].iloc[0]),
        "samples": heard.samples,
        "metrics": [_described(schema, metric) for metric in schema.metrics],
        "words": view.words,
        "colours": {**canvas.COLOURS, "other": canvas.OTHER_COLOUR},
        "palettes": {name: _palette(name) for name in ("RdBu_r", "cividis", "viridis", "viridis_r")},
    }


def selectors(view: View, effects: pd.DataFrame) -> list[str]:
    """The axes in which the blocks differ, without those that follow from others."""
    chosen: list[str] = []
    for axis in view.selectable:
        if _distinct(effects, [*chosen, axis]) > (_distinct(effects, chosen) if chosen else 1):
            chosen.append(axis)
    return chosen


def _distinct(effects: pd.DataFrame, axes: Sequence[str]) -> int:
    return len(set(zip(*(effects[axis] for axis in axes), strict=True)))


def as_json(value: object) -> str:
    """JSON that can stand in a ``script`` element: no tag can end it, and NaN is null."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plain(value: Any) -> object:
    """NumPy's numbers as Python's."""
    return _short(value.item())


def _short(value: Any) -> Any:
    """Five significant digits are more than any interval here can bear; NaN is nothing."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.5g}")
    return value


def _components(names: Iterable[str]) -> list[str]:
    order = list(canvas.COMPONENT_WORDS)
    return sorted(set(names), key=lambda name: (order.index(name) if name in order else len(order), name))


def _described(schema: Schema, metric: str) -> dict[str, str]:
    (column,) = (column for column in schema.metric_columns if column.name == metric)
    return {"name": metric, "unit": column.unit, "meaning": column.meaning}


def _palette(name: str) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[name](step / 16)) for step in range(17)]
