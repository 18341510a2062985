"""Whether effects are greater than their controls, over many sites at once: paired differences and sign flips.

A *unit* is what the experiment repeats: a prompt. Effect and control are measured on the same units, so that what a
prompt does to both cancels. The null hypothesis is that edit and control are exchangeable on each unit: a difference is
as likely as its negative. Flipping the signs of units, the same ones at every site, gives the null distribution of the
greatest t over all sites (Westfall and Young 1993; Nichols and Holmes 2002).

A site is marked as above where its t is above 95 % of that distribution against *every* control, so against the one
with the least t (Berger 1982: an intersection-union test). The other controls of a site cannot mark it, so the greatest
t is taken over each site's least one: a site that equals some control has a t of that control's distribution there, or
a smaller one. In 95 % of tables in which every site equals one of its controls, whichever, none is marked (measured in
`tests/test_inference.py`). Differences that are skewed around zero are no exchange of the two, and may be marked more
often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from mech_music.metrics.intervals import ratio, standard_error, student_interval

FLIPS = 4_999
"""Sign flips behind a p-value, besides the data as they are; all of them where there are fewer."""
POWER = 0.8
"""The share of tables in which what is called detectable is marked."""
ENOUGH = 16
"""Units from which on a detectable mean is told."""
_BLOCK = 500  # flips at once: bounds memory


class Margins(NamedTuple):
    """Effect less control, each array ``[site, control]``; NaN where there are fewer than two units.

    ``low`` and ``high``: the bootstrap-t interval of one margin alone. ``above`` and ``below``: one-sided p-values,
    adjusted for all sites; a mark needs the greatest of a site's controls. ``detectable``: what the mean would have to
    be for a mark against every control in 80 % of such tables. ``n``: units with both values.
    """

    mean: Float64[np.ndarray, "site control"]
    low: Float64[np.ndarray, "site control"]
    high: Float64[np.ndarray, "site control"]
    above: Float64[np.ndarray, "site control"]
    below: Float64[np.ndarray, "site control"]
    detectable: Float64[np.ndarray, "site control"]
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
    adjusted, critical = adjusted_p(groups, level, flips, seed)
    found = []
    for group, (above, below) in zip(groups, adjusted, strict=True):
        values = _columns(group)
        n = (~np.isnan(values)).sum(axis=0).astype(np.float64)
        mean = np.where(n >= 2, ratio(np.nan_to_num(values).sum(axis=0), n), np.nan)
        low, high = student_interval(values, resamples, level, seed)
        detectable = _detectable(values, n, critical, np.isfinite(mean.reshape(group.shape[:2])).sum(axis=1))
        parts = (mean, low, high, above, below, detectable, n)
        found.append(Margins(*(part.reshape(group.shape[:2]) for part in parts)))
    return found


def adjusted_p(
    groups: Sequence[Float[np.ndarray, "site control unit"]], level: float, flips: int, seed: int
) -> tuple[list[tuple[Float64[np.ndarray, "site control"], Float64[np.ndarray, "site control"]]], float]:
    """One-sided p-values (above, below): the share of flips in which *any* site is as far out at its hardest control.

    And the normal quantile that a site has to exceed to be above at ``level``.
    """
    drawn = [
        _flipped(group, 1.0 - level, flips, [seed, place], exhaustive=len(groups) == 1)
        for place, group in enumerate(groups)
    ]
    greatest = np.sort(np.max([one.greatest for one in drawn], axis=0)) if drawn else np.empty(0)
    least = np.sort(-np.min([one.least for one in drawn], axis=0)) if drawn else np.empty(0)
    both = [(_share(one.observed, greatest), _share(-one.observed, least)) for one in drawn]
    critical = float(np.quantile(greatest, level, method="higher")) if drawn else np.nan
    return [
        (np.where(one.few, 1.0, above), np.where(one.few, 1.0, below))
        for one, (above, below) in zip(drawn, both, strict=True)
    ], critical


def _columns(group: Float[np.ndarray, "site control unit"]) -> Float64[np.ndarray, "unit column"]:
    return group.reshape(-1, group.shape[-1]).T.astype(np.float64)


def _detectable(
    values: Float64[np.ndarray, "unit column"],
    n: Float64[np.ndarray, " column"],
    critical: float,
    n_controls: Int64[np.ndarray, " site"],
) -> Float64[np.ndarray, " column"]:
    """The mean that exceeds the critical value often enough: all of a site's controls in `POWER` of tables (Bonferroni:
    each control may fail in its share of the rest). NaN for fewer units than `ENOUGH`, whose t is far from normal, and
    where no mean would be marked."""
    centred = np.where(np.isnan(values), 0.0, values - ratio(np.nan_to_num(values).sum(axis=0), n))
    error = standard_error(n, np.zeros_like(n), (centred**2).sum(axis=0))
    controls = np.repeat(np.maximum(n_controls, 1), len(n) // len(n_controls))
    enough = n >= ENOUGH
    if not np.isfinite(critical):
        return np.full(n.shape, np.nan)
    t = stdtrit(np.where(enough, n - 1.0, np.nan), ndtr(critical)) + ndtri(1.0 - (1.0 - POWER) / controls)
    return np.where(enough, t * error, np.nan)


class _Flipped(NamedTuple):
    """The statistics as they are, and under each flip the greatest and the least of all sites at their hardest control.

    As normal quantiles of t, so that columns of few units do not outdo the others by their long tails. few: units too
    few for any mark; these, and those of fewer than two units, have no statistic (NaN).
    """

    observed: Float64[np.ndarray, "site control"]
    greatest: Float64[np.ndarray, " flip"]
    least: Float64[np.ndarray, " flip"]
    few: Bool[np.ndarray, "site control"]


def _share(observed: Float64[np.ndarray, " column"], null: Float64[np.ndarray, " flip"]) -> np.ndarray:
    """The share of a sorted null distribution that is at least as great; equal but for rounding counts as equal.

    Never none of it: the data as they are count as one of the flips.
    """
    close = observed - 1e-9 * np.maximum(1.0, np.abs(np.nan_to_num(observed, posinf=1.0, neginf=1.0)))
    share = np.maximum(1.0 - np.searchsorted(null, close, side="left") / len(null), 1.0 / len(null))
    return np.where(np.isnan(observed), np.nan, share)


def _flipped(
    group: Float[np.ndarray, "site control unit"], chance: float, flips: int, seed: list[int], exhaustive: bool
) -> _Flipped:
    values, shape = _columns(group), group.shape[:2]
    n = (~np.isnan(values)).sum(axis=0).astype(np.float64)
    used, filled = (n >= 2) & (0.5**n <= chance + 1e-12), np.nan_to_num(values)
    observed = np.full(values.shape[1], np.nan)
    observed[used] = _quantiles(np.ones((1, len(filled))), filled[:, used], n[used])[0]
    observed = observed.reshape(shape)
    above, below = (_hardest(side * observed) for side in (1.0, -1.0))
    greatest, least = [], []
    for signs in _signs(len(filled), flips, seed, exhaustive):
        greatest.append(_quantiles(signs, filled[:, above], n[above]).max(axis=1, initial=-np.inf))
        least.append(_quantiles(signs, filled[:, below], n[below]).min(axis=1, initial=np.inf))
    few = ((n >= 2) & ~used).reshape(shape)
    return _Flipped(observed, np.concatenate(greatest), np.concatenate(least), few)


def _hardest(statistics: Float64[np.ndarray, "site control"]) -> Int64[np.ndarray, " site"]:
    """For each site with a statistic, the column of its least one."""
    tested = np.flatnonzero((~np.isnan(statistics)).any(axis=1))
    return tested * statistics.shape[1] + np.nanargmin(statistics[tested], axis=1)


def _quantiles(
    signs: Float64[np.ndarray, "flip unit"],
    filled: Float64[np.ndarray, "unit column"],
    n: Float64[np.ndarray, " column"],
) -> Float64[np.ndarray, "flip column"]:
    """The t of each column under each flip, as a normal quantile."""
    mean = signs @ filled / n
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / standard_error(n, mean, (filled**2).sum(axis=0))
    t = np.where(np.isnan(t), 0.0, t)  # no difference on any unit
    return -np.sign(t) * ndtri(stdtr(n - 1.0, -np.abs(t)))


def _signs(n_units: int, flips: int, seed: list[int], exhaustive: bool) -> Iterator[Float64[np.ndarray, "flip unit"]]:
    """The data as they are, then so many random flips; or every flip there is, where those are no more."""
    if exhaustive and n_units < 31 and 2**n_units <= flips + 1:
        yield 1.0 - 2.0 * ((np.arange(2**n_units)[:, None] >> np.arange(n_units)) & 1)
        return
    yield np.ones((1, n_units))
    rng = np.random.default_rng(seed)
    for start in range(0, flips, _BLOCK):
        yield 1.0 - 2.0 * rng.integers(0, 2, (min(_BLOCK, flips - start), n_units))
