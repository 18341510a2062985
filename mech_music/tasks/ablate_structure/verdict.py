"""From the table to the numbers that a verdict needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.metrics.intervals import mean_interval
from mech_music.results.tables import lines_of
from mech_music.structure.causes.causality import Causality, Cost, Statistics, cost_of, criteria_of


def causality_of(table: pd.DataFrame, size: int, how: str, statistics: Statistics) -> Causality:
    """Of one size and way of editing. ValueError where it is not in the table."""
    own = cast(pd.DataFrame, table.query("measured == 'likelihood' and size == @size and how == @how"))
    if own.empty:
        raise ValueError(f"nothing was edited in size {size} by {how}")
    found, random = (_of_role(own, role, statistics) for role in ("found", "random"))
    local = _of_role(own, "local", statistics) if "local" in set(own["role"]) else None
    less = by_track(own, "found", "returns") - by_track(own, "random", "returns")
    over = mean_interval(less, statistics.resamples, statistics.level, statistics.seed)
    sides = [by_track(own, role, "returns") - by_track(own, role, "new") for role in ("found", "random")]
    more = sides[0] - sides[1]
    more_specific = mean_interval(more, statistics.resamples, statistics.level, statistics.seed)
    edited = next(str(one["edited"]) for one in lines_of(own) if one["role"] == "found")
    return Causality(edited, size, how, found, random, local, over, more_specific)


def by_track(table: pd.DataFrame, role: str, kind: str, metric: str = "delta") -> np.ndarray:
    """The mean of each track's pieces (and draws), NaN where it has none."""
    own = table[(table["role"] == role) & (table["kind"] == kind)]
    means = cast(pd.Series, own.groupby("index")[metric].mean())
    return means.reindex(range(1 + max(table["index"].tolist()))).to_numpy(float)


def _of_role(table: pd.DataFrame, role: str, statistics: Statistics) -> Cost:
    returns, new, decoy = (by_track(table, role, kind) for kind in ("returns", "new", "decoy"))
    return cost_of(returns, new, decoy, statistics)


def as_json(found: Causality) -> dict[str, Any]:
    """For a file: intervals by name; infinite ends as text, missing ones as null."""
    told = {**asdict(found), **{name: asdict(one) for name, one in criteria_of(found).items()}}
    return {key: _plain(value) for key, value in told.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else "inf" if value > 0 else "-inf"
    return value
