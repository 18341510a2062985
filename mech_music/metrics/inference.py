"""Whether effects are greater than their controls, over many sites at once: paired differences and sign flips.

A *unit* is what the experiment repeats: a prompt. Effect and control are measured on the same units, so that what a
prompt does to both cancels. The null hypothesis is that edit and control are exchangeable on each unit: a difference is
as likely as its negative. Flipping the signs of units, the same ones at every site, gives the null distribution of the
greatest t over all sites and controls (Westfall and Young 1993; Nichols and Holmes 2002). A site whose t is above 95 %
of it against *every* control is marked as above: in 95 % of tables in which nothing differs from its controls, none is.
Differences that are skewed around zero are no exchange of the two, and may be marked more often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.special import ndtri, stdtr

from mech_music.metrics.intervals import ratio, standard_error, student_interval

FLIPS = 4_999
"""Sign flips behind a p-value, besides the data as they are; all of them where there are fewer."""
_BLOCK = 500  # flips at once: bounds memory


class Margins(NamedTuple):
    """Effect less control, each array ``[site, control]``; NaN where there are fewer than two units.

    ``low`` and ``high``: the bootstrap-t interval of one margin alone. ``above`` and ``below``: one-sided p-values,
    adjusted for all sites and controls together. ``n``: units with both values.
    """

    mean: Float64[np.ndarray, "site control"]
    low: Float64[np.ndarray, "site control"]
    high: Float64[np.ndarray, "site control"]
    above: Float64[np.ndarray, "site control"]
    below: Float64[np.ndarray, "site control"]
    n: Float64[np.ndarray, "site control"]


def margins(
    groups: Sequence[Float[np.ndarray, "site control unit"]],
    resamples: int,
    level: float,
    seed: int,
    flips: int = FLIPS,
) -> list[Margins]:
    """What each site's effect is above each control, for groups of sites that are measured on units of their own.

    ``groups``: effect less control on each unit, NaN where a unit was not measured. The flips and resamples of a unit
    are the same at all sites of its group; p-values are adjusted over all groups, whose flips are drawn apart (where
    groups share clips that costs a little power, no validity). So few units that even the smallest p is above
    ``1 − level`` have a p of 1, and cost the others nothing. ValueError for an empty level or no resamples.
    """
    flat = [group.reshape(-1, group.shape[-1]).T.astype(np.float64) for group in groups]
    adjusted = _adjusted(flat, level, flips, seed)
    found = []
    for group, values, (above, below) in zip(groups, flat, adjusted, strict=True):
        n = (~np.isnan(values)).sum(axis=0).astype(np.float64)
        mean = np.where(n >= 2, ratio(np.nan_to_num(values).sum(axis=0), n), np.nan)
        low, high = student_interval(values, resamples, level, seed)
        found.append(Margins(*(part.reshape(group.shape[:2]) for part in (mean, low, high, above, below, n))))
    return found


def _adjusted(
    groups: Sequence[Float64[np.ndarray, "unit column"]], level: float, flips: int, seed: int
) -> list[tuple[Float64[np.ndarray, " column"], Float64[np.ndarray, " column"]]]:
    """One-sided p-values of every column's mean: the share of flips in which *any* column's t is as great."""
    drawn = [
        _flipped(values, 1.0 - level, flips, [seed, place], exhaustive=len(groups) == 1)
        for place, values in enumerate(groups)
    ]
    greatest = np.sort(np.max([one.greatest for one in drawn], axis=0)) if drawn else np.empty(0)
    least = np.sort(-np.min([one.least for one in drawn], axis=0)) if drawn else np.empty(0)
    both = [(_share(one.observed, greatest), _share(-one.observed, least)) for one in drawn]
    return [
        (np.where(one.few, 1.0, above), np.where(one.few, 1.0, below))
        for one, (above, below) in zip(drawn, both, strict=True)
    ]


class _Flipped(NamedTuple):
    """Each column's statistic as it is, and under each flip the greatest and the least of all columns.

    As normal quantiles of t, so that columns of few units do not outdo the others by their long tails. few: units too
    few for any mark; these columns, and those of fewer than two units, have no statistic (NaN).
    """

    observed: Float64[np.ndarray, " column"]
    greatest: Float64[np.ndarray, " flip"]
    least: Float64[np.ndarray, " flip"]
    few: Bool[np.ndarray, " column"]


def _share(observed: Float64[np.ndarray, " column"], null: Float64[np.ndarray, " flip"]) -> np.ndarray:
    """The share of a sorted null distribution that is at least as great; equal but for rounding counts as equal."""
    close = observed - 1e-9 * np.maximum(1.0, np.abs(np.nan_to_num(observed, posinf=1.0, neginf=1.0)))
    share = 1.0 - np.searchsorted(null, close, side="left") / len(null)
    return np.where(np.isnan(observed), np.nan, share)


def _flipped(
    values: Float64[np.ndarray, "unit column"], chance: float, flips: int, seed: list[int], exhaustive: bool
) -> _Flipped:
    n = (~np.isnan(values)).sum(axis=0).astype(np.float64)
    used, filled = (n >= 2) & (0.5**n <= chance + 1e-12), np.nan_to_num(values)
    filled, squares = filled[:, used], (filled[:, used] ** 2).sum(axis=0)

    def ratios(signs: Float64[np.ndarray, "flip unit"]) -> Float64[np.ndarray, "flip column"]:
        mean = signs @ filled / n[used]
        with np.errstate(divide="ignore", invalid="ignore"):
            t = mean / standard_error(n[used], mean, squares)
        t = np.where(np.isnan(t), 0.0, t)  # no difference on any unit
        return -np.sign(t) * ndtri(stdtr(n[used] - 1.0, -np.abs(t)))

    observed = np.full(values.shape[1], np.nan)
    greatest, least = [], []
    for signs in _signs(len(filled), flips, seed, exhaustive):
        t = ratios(signs)
        if not greatest:
            observed[used] = t[0]
        greatest.append(t.max(axis=1, initial=-np.inf))
        least.append(t.min(axis=1, initial=np.inf))
    return _Flipped(observed, np.concatenate(greatest), np.concatenate(least), (n >= 2) & ~used)


def _signs(n_units: int, flips: int, seed: list[int], exhaustive: bool) -> Iterator[Float64[np.ndarray, "flip unit"]]:
    """The data as they are, then so many random flips; or every flip there is, where those are no more."""
    if exhaustive and n_units < 31 and 2**n_units <= flips + 1:
        yield 1.0 - 2.0 * ((np.arange(2**n_units)[:, None] >> np.arange(n_units)) & 1)
        return
    yield np.ones((1, n_units))
    rng = np.random.default_rng(seed)
    for start in range(0, flips, _BLOCK):
        yield 1.0 - 2.0 * rng.integers(0, 2, (min(_BLOCK, flips - start), n_units))
