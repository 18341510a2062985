"""Whether a model foresees returns: five criteria, each with its numbers, filled in from tables by a program.

It has to predict beyond controls; to do so better far ahead than near, where anything predicts; what predicts has to
be a cause, of returns in particular; and examples have to be open to inspection. Tables of forecasts decide the first
two. The others are given (`mech_music.structure.verdict.Criterion`) once interventions were run, and open until then.
Where nothing announces returns (*blind*), the one criterion is that nothing is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from mech_music.metrics.intervals import mean_interval

LEAST = 0.05
"""AUC above the hardest control that counts as predicting."""
NULL = 0.03
"""AUC above the hardest control that a regime without anything to foresee may reach."""
FAR = 10.0
"""Seconds from which on a horizon is far; of beats and bars it is the longer half."""
OPEN = ("causal", "specific", "auditable")
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Criterion:
    """``holds``: None while it was not tested."""

    name: str
    holds: bool | None
    told: str = "not tested"


def verdict(
    table: pd.DataFrame, summary: pd.DataFrame, given: Mapping[str, Mapping[str, Criterion]] | None = None
) -> dict[str, list[Criterion]]:
    """The criteria of each regime, from a table of forecasts by track and its summary.

    ``given``: by regime and name the criteria that interventions decide.
    """
    effects = cast(pd.DataFrame, summary[summary["role"] == "probe"])
    found = {}
    for regime in dict.fromkeys(effects["regime"]):
        own = cast(pd.DataFrame, effects[effects["regime"] == regime])
        if regime == "blind":
            found[regime] = [_nothing(own)]
            continue
        others = (given or {}).get(regime, {})
        found[regime] = [
            _predicts(own),
            _farther(table, own),
            *(others.get(name, Criterion(name, None)) for name in OPEN),
        ]
    return found


def far(horizons: Sequence[float], counted_in: str) -> list[float]:
    """Those that are far; none where no horizon is far in seconds."""
    every = sorted(set(horizons))
    return [one for one in every if one >= FAR] if counted_in == "seconds" else every[len(every) // 2 :]


def _marked(effects: pd.DataFrame) -> pd.Series:
    return effects["p_above"] <= 1.0 - effects["level"] + 1e-12


def _predicts(effects: pd.DataFrame) -> Criterion:
    """Marked, by more than `LEAST`, at some far horizon."""
    horizons = far(effects["horizon"].tolist(), effects["horizons_in"].tolist()[0])
    there = cast(pd.DataFrame, effects[effects["horizon"].isin(horizons)])
    if there.empty:
        return Criterion("predicts", None, f"no horizon of {FAR:g} s or more was asked for")
    good = cast(pd.DataFrame, there[_marked(there) & (there["margin"] > LEAST)])
    best = there.loc[there["margin"].fillna(-np.inf).idxmax()]
    told = (
        f"{len(good)} of {len(there)} sites at far horizons are above every control by more than {LEAST:g}; the "
        f"greatest, {best['layer'] and 'layer '}{best['layer']} at {best['horizon']:g} {best['horizons_in']}: AUC "
        f"{best['auc']:.2f}, {best['margin']:+.3f} [{best['margin_low']:+.3f}, {best['margin_high']:+.3f}] to "
        f"{best['over']}"
    )
    return Criterion("predicts", len(good) > 0, told.replace("-", "−"))


def _nothing(effects: pd.DataFrame) -> Criterion:
    """No mark, and no margin whose interval is above `NULL`."""
    marked, above = int(_marked(effects).sum()), int((effects["margin_low"] > NULL).sum())
    best = effects.loc[effects["margin"].fillna(-np.inf).idxmax()]
    told = (
        f"{marked} of {len(effects)} sites are marked, {above} have an interval above {NULL:g}; the greatest: "
        f"{best['margin']:+.3f} [{best['margin_low']:+.3f}, {best['margin_high']:+.3f}] to {best['over']}; AUC "
        f"{effects['auc'].min():.2f} to {effects['auc'].max():.2f}"
    )
    return Criterion("finds nothing", not marked and not above, told.replace("-", "−"))


def _farther(table: pd.DataFrame, effects: pd.DataFrame) -> Criterion:
    """The gap to the hardest control grows with the horizon: its slope, mean over layers, is above 0."""
    name, horizons = "far better than near", sorted(set(effects["horizon"]))
    if len(horizons) < 2:
        return Criterion(name, None, "one horizon has no slope")
    gaps = np.stack([_gap(table, cast(pd.DataFrame, effects[effects["horizon"] == one])) for one in horizons])
    slopes = slope_by_track(np.array(horizons), gaps)
    first = effects.iloc[0]
    mean, low, high, n = mean_interval(slopes, int(first["resamples"]), float(first["level"]), 0)
    unit = str(first["horizons_in"]).removesuffix("s")
    told = f"the gap changes by {mean:+.4f} [{low:+.4f}, {high:+.4f}] a {unit}, mean over layers, {n} tracks"
    return Criterion(name, bool(low > 0), told.replace("-", "−"))


def _gap(table: pd.DataFrame, effects: pd.DataFrame) -> Float[np.ndarray, " track"]:
    """AUC less that of the hardest control, by track, mean over layers; NaN for tracks without rows."""
    regime, horizon = effects.iloc[0][["regime", "horizon"]]
    there = cast(pd.DataFrame, table[(table["regime"] == regime) & (table["horizon"] == horizon)])
    n_tracks = int(cast(pd.DataFrame, table[table["regime"] == regime])["index"].max()) + 1

    def values(role: str, layer: str) -> Float[np.ndarray, " track"]:
        of_role = cast(pd.DataFrame, there[there["role"] == role])
        own = cast(pd.DataFrame, of_role[of_role["layer"].isin([layer, ""])])
        found = np.full(n_tracks, np.nan)
        found[own["index"].to_numpy()] = own["auc"].to_numpy()
        return found

    sites = zip(effects["layer"].tolist(), effects["over"].tolist(), strict=True)
    return np.mean([values("probe", layer) - values(over, layer) for layer, over in sites if over], axis=0)


def slope_by_track(
    horizons: Float[np.ndarray, " horizon"], values: Float[np.ndarray, "horizon track"]
) -> Float[np.ndarray, " track"]:
    """The least-squares slope of means over tracks, with what each track adds to it; its mean is the slope.

    Not every track has rows at every horizon (NaN); one without any has no value.
    """
    centred = horizons - horizons.mean()
    weights = centred / (centred**2).sum()
    there = np.isfinite(values)
    n, any_rows = there.sum(1), there.any(0)
    means = np.nansum(values, axis=1) / n
    added = np.where(there, values - means[:, None], 0.0) * (any_rows.sum() / n)[:, None]
    return np.where(any_rows, weights @ (means[:, None] + added), np.nan)
