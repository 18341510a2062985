"""Whether a model foresees returns: five criteria, each with its numbers, filled in from tables by a program.

It has to predict beyond controls; to do so better far ahead than near, where anything predicts; what predicts has to
be a cause, of returns in particular; and examples have to be open to inspection. Tables of forecasts decide the first
two. The others are given (`mech_music.structure.verdict.Criterion`) once interventions were run, and open until then.
Where nothing announces returns (*blind*), the one criterion is that nothing is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

LEAST = 0.05
"""AUC above the hardest control that counts as predicting."""
NULL = 0.03
"""How far from chance AUC may be in a regime without anything to foresee."""
_CHANCE = 0.5
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
    table: Sequence[Line], summary: Sequence[Line], given: Mapping[str, Mapping[str, Criterion]] | None = None
) -> dict[str, list[Criterion]]:
    """The criteria of each regime, from the lines of a table of forecasts by track and of its summary.

    ``given``: by regime and name the criteria that interventions decide.
    """
    found = {}
    for regime in dict.fromkeys(line["regime"] for line in summary):
        sites = [line for line in summary if line["role"] == "probe" and line["regime"] == regime]
        by_track = [line for line in table if line["regime"] == regime]
        if regime == "blind":
            found[regime] = [_nothing(by_track, sites)]
            continue
        others = (given or {}).get(regime, {})
        open_still = (others.get(name, Criterion(name, None)) for name in OPEN)
        found[regime] = [_predicts(sites), _farther(by_track, sites), *open_still]
    return found


def far(horizons: Sequence[float], counted_in: str) -> list[float]:
    """Those that are far; none where no horizon is far in seconds."""
    every = sorted(set(horizons))
    return [one for one in every if one >= FAR] if counted_in == "seconds" else every[len(every) // 2 :]


def _marked(site: Line) -> bool:
    return bool(site["p_above"] <= 1.0 - site["level"] + 1e-12)


def _greatest(sites: Sequence[Line]) -> Line:
    return max(sites, key=lambda site: float(np.nan_to_num(site["margin"], nan=-np.inf)))


def _spread(site: Line) -> str:
    return f"{site['margin']:+.3f} [{site['margin_low']:+.3f}, {site['margin_high']:+.3f}] to {site['over'] or 'none'}"


def _predicts(sites: Sequence[Line]) -> Criterion:
    """Marked, by more than `LEAST`, at some far horizon."""
    horizons = far([site["horizon"] for site in sites], sites[0]["horizons_in"])
    there = [site for site in sites if site["horizon"] in horizons]
    if not there:
        return Criterion("predicts", None, f"no horizon of {FAR:g} s or more was asked for")
    good, best = [site for site in there if _marked(site) and site["margin"] > LEAST], _greatest(there)
    told = (
        f"{len(good)} of {len(there)} sites at far horizons are above every control by more than {LEAST:g}; the "
        f"greatest, layer {best['layer']} at {best['horizon']:g} {best['horizons_in']}: AUC {best['auc']:.2f}, "
        f"{_spread(best)}"
    )
    return Criterion("predicts", bool(good), told.replace("-", "−"))


def _nothing(table: Sequence[Line], sites: Sequence[Line]) -> Criterion:
    """No mark, and AUC within `NULL` of chance, with its whole interval, everywhere; undecided where intervals are too
    wide to say so. It does not hold where AUC is above chance at some site, by sign flips over tracks with max-T."""
    from mech_music.metrics.inference import FLIPS, adjusted_p  # SciPy, which settings do not need

    marked, level = sum(map(_marked, sites)), sites[0]["level"]
    over = np.stack([_auc(table, site, "probe", site["horizon"]) for site in sites])[:, None] - _CHANCE
    (((above, _),), _) = adjusted_p([over], level, FLIPS, 0)
    beyond = int((above <= 1.0 - level + 1e-12).sum())
    within = sum(_CHANCE - NULL <= site["auc_low"] <= site["auc_high"] <= _CHANCE + NULL for site in sites)
    least, most = (end(site["auc"] for site in sites) for end in (min, max))
    told = (
        f"{marked} of {len(sites)} sites are marked; AUC {least:.2f} to {most:.2f}: {beyond} sites are above chance "
        f"(least p {above.min():.2g}, over all of them), {within} have their whole interval within {NULL:g} of it; the "
        f"greatest margin: {_spread(_greatest(sites))}"
    )
    holds = False if marked or beyond else True if within == len(sites) else None
    return Criterion("finds nothing", holds, told.replace("-", "−"))


def _farther(table: Sequence[Line], sites: Sequence[Line]) -> Criterion:
    """The gap to the hardest control grows with the horizon: its slope, mean over layers, is above 0."""
    from mech_music.metrics.intervals import mean_interval  # SciPy, which settings do not need

    name, horizons = "far better than near", sorted({site["horizon"] for site in sites})
    if len(horizons) < 2:
        return Criterion(name, None, "one horizon has no slope")
    gaps = np.stack([_gap(table, [site for site in sites if site["horizon"] == one]) for one in horizons])
    slopes = slope_by_track(np.array(horizons), gaps)
    mean, low, high, n = mean_interval(slopes, sites[0]["resamples"], sites[0]["level"], 0)
    unit = sites[0]["horizons_in"].removesuffix("s")
    told = f"the gap changes by {mean:+.4f} [{low:+.4f}, {high:+.4f}] a {unit}, mean over layers, {n} tracks"
    return Criterion(name, bool(low > 0), told.replace("-", "−"))


def _gap(table: Sequence[Line], sites: Sequence[Line]) -> Float[np.ndarray, " track"]:
    """At one horizon AUC less that of the hardest control, by track, mean over layers; NaN without rows."""
    horizon = sites[0]["horizon"]
    gaps = [_auc(table, site, "probe", horizon) - _auc(table, site, site["over"], horizon) for site in sites]
    return np.mean(gaps, axis=0)


def _auc(table: Sequence[Line], site: Line, role: str, horizon: float) -> Float[np.ndarray, " track"]:
    """What each track contributes at a site's layer, or without one; NaN without rows."""
    found = np.full(1 + max(line["index"] for line in table), np.nan)
    for line in table:
        if line["role"] == role and line["horizon"] == horizon and line["layer"] in (site["layer"], ""):
            found[line["index"]] = line["auc"]
    return found


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
