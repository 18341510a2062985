"""What the page's scripts draw from: the effects beside their controls, words, scales and colours, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.report.clips import Heard
from mech_music.report.view import ENDS, Measure, View
from mech_music.results.columns import layer_order
from mech_music.results.tables import schema_of

MOST_LINES = 13_000  # of some 800 bytes each
_DECLARED = (
    "site", "heading", "hover", "effect", "things", "rank", "outcome", "price", "shown", "of_controls", "plain", "more",
    "glance_note",
)  # fmt: skip


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
    roles = [role for role in schema.controls if role.name in there and _is_told(role.name, view, effects)]
    controls = [role.name for role in roles]
    axes = [*view.more, *(axis for axis in schema.axes if axis != "role")]
    names = [*axes, "n", "failed", "verdict", *(metric + end for metric in schema.metrics for end in ENDS)]
    names += [f"{control}_{metric}{end}" for control in controls for metric in view.of_controls for end in ENDS]
    names += [column.name for column in schema.margin_columns]
    asked = selectors(view, effects)
    return {
        "paired": schema.comparison is not None,
        "view": {name: getattr(view, name) for name in _DECLARED}
        | {"heat": asdict(view.heat) | {"note": view.heat_note}, "clips": view.clips and asdict(view.clips)}
        | {"charts": [asdict(chart) | {"keep": _kept(chart.keep, effects)} for chart in view.charts]},
        "columns": {name: [short(value) for value in effects[name].tolist()] for name in names},
        "axes": [axis for axis in schema.axes if axis not in ("task", "role")],
        "selectors": asked,
        "orders": {axis: in_order(cast(pd.Series, effects[axis]), list(view.words.get(axis, ()))) for axis in axes},
        "controls": controls,
        "roles": {role.name: {"word": role.label, "dash": role.dash, "marker": role.marker} for role in roles},
        "level": float(summary["level"].iloc[0]),
        "samples": heard.samples,
        "measures": dict(measures(view, effects, controls)),
        "words": view.words,
        "colours": view.colours,
        "shades": _palette("viridis"),
        "glance": _kept(view.glance, effects) or best_of_blocks(view, effects, asked),
    }


def _is_told(control: str, view: View, effects: pd.DataFrame) -> bool:
    """Whether a control has a value of any metric that is shown of controls."""
    named = [f"{control}_{metric}" for metric in view.of_controls]
    return not named or bool(effects.reindex(columns=named).notna().any(axis=None))


def selectors(view: View, effects: pd.DataFrame) -> list[str]:
    """The axes in which the blocks differ, without those that follow from others."""
    chosen: list[str] = []
    others = [axis for axis in schema_of(effects).axes if axis not in ("role", *view.within, *view.selectable)]
    for axis in (*view.selectable, *others):
        if _distinct(effects, [*chosen, axis]) > (_distinct(effects, chosen) if chosen else 1):
            chosen.append(axis)
    return chosen


def best_of_blocks(view: View, effects: pd.DataFrame, asked: Sequence[str]) -> list[int]:
    """The cells listed first: of each block the best one, and those that are not of a single layer."""
    if not view.rank:
        return effects.index.tolist()
    measured = effects.dropna(subset=[view.rank])
    single = _single(measured)
    alone = cast(pd.DataFrame, measured[single])
    best = alone.groupby([*asked, view.heat.down], sort=False, dropna=False)[view.rank].idxmax()
    return sorted([*best.tolist(), *measured.index[~single].tolist()])


def _single(effects: pd.DataFrame) -> pd.Series:
    """Which lines are of one layer; all of them where there are no layers."""
    return effects["layer"].str.isdecimal() if "layer" in effects else pd.Series(True, effects.index)


def _kept(keep: Any, effects: pd.DataFrame) -> list[int] | None:
    return None if keep is None else np.flatnonzero(keep(effects).to_numpy()).tolist()


def _distinct(effects: pd.DataFrame, axes: Sequence[str]) -> int:
    return len(set(zip(*(effects[axis] for axis in axes), strict=True)))


def in_order(values: pd.Series, named: Sequence[str]) -> list[Any]:
    """An axis' values: layers and numbers by size, those with words in the words' order, others as they come."""
    once = list(dict.fromkeys(values.tolist()))
    if values.name in ("layer", "other"):
        return sorted(once, key=layer_order)
    if named:
        return sorted(once, key=lambda value: named.index(value) if value in named else len(named))
    return [short(value) for value in (sorted(once) if pd.api.types.is_numeric_dtype(values) else once)]


# -- measures --------------------------------------------------------------------------------------------


def measures(view: View, effects: pd.DataFrame, controls: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """How each metric is written and coloured; a control that is the only one has the scales of what it controls."""
    single = _single(effects)
    shown = cast(pd.DataFrame, effects[single] if single.any() else effects)
    only = controls if len(controls) == 1 else []
    columns = schema_of(effects).metric_columns
    for column in columns:
        measure = view.measures.get(column.name, Measure())
        note = f", {column.note}" if [one.title for one in columns].count(column.title) > 1 else ""
        word, title = column.word or column.name.replace("_", " "), column.title.replace("\n", " ") + note
        beside = [f"{control}_{column.name}" for control in only if column.name in view.of_controls]
        common = asdict(measure) | _scale(measure, shown[[column.name, *beside]].to_numpy()) | {"unit": column.unit}
        titles = {"title": title, "label": column.label.replace("\n", "<br>"), "meaning": column.meaning}
        word = word.replace("\n", " ") + note
        yield column.name, common | titles | {"word": word}
        for name in beside:
            yield name, common | {"word": f"{word}, control", "title": f"control: {title}", "meaning": ""}


def _scale(measure: Measure, values: np.ndarray) -> dict[str, Any]:
    found = values[np.isfinite(values)]
    ends = (float(found.min()), float(found.max())) if found.size else (0.0, 1.0)
    if measure.palette == "RdBu_r":
        ends = (-max(map(abs, ends)), max(map(abs, ends)))
    low, high = (end if limit is None else limit for end, limit in zip(ends, measure.limits, strict=True))
    return {"low": low, "high": high if high > low else low + 1e-9, "palette": _palette(measure.palette)}


def diverging(values: Sequence[float]) -> dict[str, Any]:
    """A scale with 0 in its middle."""
    most = max(map(abs, values), default=0.0) or 1.0
    return {"low": -most, "high": most, "palette": _palette("RdBu_r")}


def _palette(name: str) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[name](step / 16)) for step in range(17)]


# -- as text ---------------------------------------------------------------------------------------------


def as_json(value: object) -> str:
    """JSON that can stand in a ``script`` element: no tag can end it, and NaN is null."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _plain(value: Any) -> object:
    """NumPy's numbers as Python's."""
    return short(value.item())


def short(value: Any) -> Any:
    """A value for JSON: five significant digits are more than any interval here can bear; NaN is nothing."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.5g}")
    return value
