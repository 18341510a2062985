"""Whether what is edited carries returns (causal), and returns alone (specific): the numbers behind a verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mech_music.base.errors import UserError, first_line
from mech_music.metrics.intervals import Interval, mean_interval
from mech_music.structure.verdict import Criterion

CAUSAL = "causal.json"
"""What a run of ``task=ablate_structure`` leaves: model, weights, pieces, and a `Causality` for each size and way."""


@dataclass(frozen=True)
class Statistics:
    """Of intervals over tracks."""

    resamples: int
    level: float
    seed: int


@dataclass(frozen=True)
class Cost:
    """What an edit costs, nats a token, as means over tracks: on returns, new sections and decoys.

    ``difference``: returns less new sections of the same track. ``selectivity``: returns over new sections.
    """

    returns: Interval
    new: Interval
    decoy: Interval
    difference: Interval
    selectivity: Interval


@dataclass(frozen=True)
class Causality:
    """Found heads beside random and local ones, at one size and way of editing.

    ``over_random``: what found heads cost returns, less what random ones cost the same tracks. ``more_specific``: by
    how much more they cost returns than new sections, less the same of random ones, by track.
    """

    edited: str
    size: int
    how: str
    found: Cost
    random: Cost
    local: Cost | None
    over_random: Interval
    more_specific: Interval

    @property
    def causal(self) -> bool:
        """Whether returns lose more by the found heads than by random ones."""
        return self.over_random.low > 0

    @property
    def specific(self) -> bool:
        """Whether they lose more than new sections of the same tracks do, and by more than with random heads."""
        own = self.found.difference.low > 0 and self.found.selectivity.low > 1
        return own and self.more_specific.low > 0


def criteria_of(found: Causality) -> dict[str, Criterion]:
    """The two of a verdict's criteria that edits decide, with their numbers."""
    cost, random = found.found, found.random
    causal = (
        f"without {found.size} ({found.edited}, {found.how}) a return costs {_told(cost.returns)} nats a token more, "
        f"without random ones {_told(random.returns)}: {_told(found.over_random)} over random"
    )
    specific = (
        f"new sections cost {_told(cost.new)}, decoys {_told(cost.decoy)}; returns over new sections: "
        f"{_told(cost.selectivity, '.3g')}, of random ones {_told(random.selectivity, '.3g')}; returns less new "
        f"sections: {_told(found.more_specific)} over random"
    )
    told = {"causal": (found.causal, causal), "specific": (found.specific, specific)}
    return {name: Criterion(name, holds, words.replace("-", "−")) for name, (holds, words) in told.items()}


def read_criteria(place: str, model: str, pieces: str, weights: str | None = None) -> dict[str, Criterion]:
    """The two criteria from what a run of ``task=ablate_structure`` left: its folder, or the file in it.

    Where that run's model had other ``weights`` than these (a fingerprint; None: not known yet), they are open.
    UserError for a file that is none, and for one of another model or other pieces.
    """
    path = Path(place) / CAUSAL if Path(place).is_dir() else Path(place)
    try:
        written = json.loads(path.read_text())
        own, of = (written["model"], written["pieces"]), str(written["weights"])
        found = {name: Criterion(**written["found"][0][name]) for name in ("causal", "specific")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"causal={place}: expected the output folder of a run of task=ablate_structure, with {CAUSAL} "
            f"({first_line(error)})"
        ) from error
    if own != (model, pieces):
        raise UserError(f"causal={place}: it is of model {own[0]} and pieces '{own[1]}', not {model} and '{pieces}'")
    if weights not in (None, of):
        told = f"not tested: {place} is of other weights of {model}; run task=ablate_structure again"
        return {name: Criterion(name, None, told) for name in found}
    return found


def _told(one: Interval, form: str = "+.3f") -> str:
    return f"{one.mean:{form}} [{one.low:{form}}, {one.high:{form}}]".replace("inf", "∞")


def cost_of(
    returns: Float[np.ndarray, " track"],
    new: Float[np.ndarray, " track"],
    decoy: Float[np.ndarray, " track"],
    how: Statistics,
) -> Cost:
    """From each track's own costs, NaN where it has no such section."""
    return Cost(
        returns=_interval(returns, how),
        new=_interval(new, how),
        decoy=_interval(decoy, how),
        difference=_interval(returns - new, how),
        selectivity=ratio_of_means(returns, new, how),
    )


def ratio_of_means(over: Float[np.ndarray, " track"], under: Float[np.ndarray, " track"], how: Statistics) -> Interval:
    """The ratio of two means over the same tracks, and its percentile interval by a bootstrap over tracks, paired.

    Where the lower mean is not above 0 the edit costs nothing there: the ratio counts as infinite if the upper mean is
    above 0, and is not defined otherwise. Draws without a ratio are left out; NaN where there is none at all.
    """
    rng, n = np.random.default_rng(how.seed), len(over)
    drawn = rng.integers(n, size=(how.resamples, n)) if n else np.zeros((0, 0), int)
    with np.errstate(invalid="ignore"):
        means = [np.array([_mean(values[own]) for own in drawn]) for values in (over, under)]
    ratios = _ratio(*means)
    known, tail = np.sort(ratios[~np.isnan(ratios)]), (1 - how.level) / 2
    ends = np.quantile(known, [tail, 1 - tail], method="nearest") if len(known) else (np.nan, np.nan)
    whole = float(_ratio(np.array([_mean(over)]), np.array([_mean(under)]))[0])
    return Interval(whole, float(ends[0]), float(ends[1]), int((~np.isnan(over) | ~np.isnan(under)).sum()))


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    positive = np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
    return np.where((under <= 0) & (over > 0), np.inf, positive)


def _mean(values: np.ndarray) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else np.nan


def _interval(values: Float[np.ndarray, " track"], how: Statistics) -> Interval:
    if not len(values) or np.isnan(values).all():
        return Interval(np.nan, np.nan, np.nan, 0)
    return mean_interval(values, how.resamples, how.level, how.seed)
