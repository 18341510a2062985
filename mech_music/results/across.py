"""What several conditions of a table say together: the best site, the slope of a dose, the mean over pairs.

Units are prompts, as in every other number of a summary, and all conditions are resampled together: conditions that
share prompts, and so clips or contexts, stay dependent in their interval as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from mech_music.metrics.intervals import mean_intervals, mean_of_measured
from mech_music.results.columns import Comparison, Schema
from mech_music.results.comparison import Axes, beside_controls, differences_of

ENDS = ("", "_low", "_high")
_FOLDS = 10
Numbers = dict[str, float]


@dataclass(frozen=True)
class _Sample:
    """How intervals are drawn."""

    resamples: int
    level: float
    seed: int

    def spread(self, name: str, values: Float64[np.ndarray, " unit"]) -> Numbers:
        """``name`` with both ends of its interval, over units."""
        found = mean_intervals(values[:, None], self.resamples, self.level, self.seed)
        return {name + end: float(part[0]) for end, part in zip(ENDS, found[:3], strict=True)}


def across(
    schema: Schema,
    values: Mapping[Axes, Float64[np.ndarray, "unit metric"]],
    resamples: int,
    level: float,
    seed: int,
) -> dict[Axes, Numbers]:
    """The columns of `Schema.across_columns`, by axes; those that a condition is not given are missing.

    ``values``: all metrics by axes, a line for each prompt, NaN where there is none.
    """
    comparison = schema.comparison
    if comparison is None:
        return {}
    sample, told = _Sample(resamples, level, seed), dict[Axes, Numbers]()
    groups = beside_controls(schema, comparison, values)
    for found in (
        *(_selected(group, values, schema, sample) for group in groups),
        _slopes(groups, values, schema, sample),
        _pooled(values, schema, comparison, sample),
    ):
        for axes, numbers in found:
            told.setdefault(axes, {}).update(numbers)
    return told


def _selected(
    group: Mapping[Axes, list[Axes | None]], values: Mapping[Axes, np.ndarray], schema: Schema, sample: _Sample
) -> Iterator[tuple[Axes, Numbers]]:
    """How often a site is the best one on nine tenths of the prompts, and what the chosen ones do on the other tenth.

    Best: the greatest margin over its highest control. The greatest of many noisy margins is too great on the prompts
    that chose it; on others it is not (cross-validation). Only where there are several sites; sets of layers are none.
    """
    assert schema.comparison is not None
    less = differences_of(group, values, schema.metrics.index(schema.comparison.metric))
    layer = schema.axes.index("layer") if "layer" in schema.axes else None
    single = [layer is None or str(axes[layer]).isdecimal() for axes in group]
    less[~np.array(single)] = np.nan
    sites, units = np.isfinite(less).any(axis=(1, 2)), less.shape[2]
    if sites.sum() < 2 or units < 2:
        return
    chosen, held_out = np.zeros(len(less)), np.full(units, np.nan)
    folds = np.array_split(np.arange(units), min(_FOLDS, units))
    for fold in folds:
        means = mean_of_measured(np.delete(less, fold, axis=2), axis=2)
        means[np.isnan(means).all(axis=1), :] = -np.inf
        site = int(np.argmax(np.nanmin(means, axis=1)))
        chosen[site] += 1.0 / len(folds)
        held_out[fold] = less[site, int(np.nanargmin(means[site])), fold]
    numbers = sample.spread("selected_margin", held_out)
    told = zip(group, chosen.tolist(), sites.tolist(), strict=True)
    yield from ((axes, {"chosen": share, **numbers}) for axes, share, is_site in told if is_site)


def _slopes(
    groups: Iterable[Mapping[Axes, list[Axes | None]]],
    values: Mapping[Axes, np.ndarray],
    schema: Schema,
    sample: _Sample,
) -> Iterator[tuple[Axes, Numbers]]:
    """By how much the effect grows with a unit of the dose, and by how much more than its steepest control's."""
    assert schema.comparison is not None
    metric, dose = schema.metrics.index(schema.comparison.metric), schema.comparison.dose
    for group in groups if dose else ():
        at = schema.axes.index(dose)
        for members in _alike(group, [at]):
            doses = np.array([float(axes[at]) for axes in members])
            if len(set(doses.tolist())) < 2:
                continue
            own = {axes: group[axes] for axes in members}
            effect = np.stack([values[axes][:, metric] for axes in members])
            numbers = sample.spread("slope", _slope(doses, effect))
            less = _slope(doses, differences_of(own, values, metric))
            means = mean_of_measured(less, axis=1)
            if not np.isnan(means).all():
                numbers |= sample.spread("slope_margin", less[int(np.nanargmin(means))])
            yield from ((axes, numbers) for axes in members)


def _slope(doses: Float64[np.ndarray, " dose"], values: Float64[np.ndarray, dose * rest]) -> np.ndarray:
    """Least squares, each unit by itself; NaN where it was not measured at every dose."""
    centred = doses - doses.mean()
    return np.tensordot(centred, values, axes=1) / (centred**2).sum()


def _pooled(
    values: Mapping[Axes, np.ndarray], schema: Schema, comparison: Comparison, sample: _Sample
) -> Iterator[tuple[Axes, Numbers]]:
    """Means over pairs, each prompt's number being one unit over all pairs: what pairs share stays shared.

    About these pairs, for further prompts of the kind; what other pairs would do it does not say.
    """
    columns = [schema.metrics.index(name) for name in comparison.pooled_metrics]
    for members in _alike(values, [schema.axes.index(name) for name in comparison.pooled]):
        if len(members) < 2:
            continue
        units = min(len(values[axes]) for axes in members)
        every = np.stack([values[axes][:units, columns] for axes in members])
        numbers: Numbers = {}
        for name, own in zip(comparison.pooled_metrics, every.mean(axis=0).T, strict=True):
            numbers |= sample.spread(f"pooled_{name}", own)
        yield from ((axes, numbers) for axes in members)


def _alike(conditions: Iterable[Axes], free: Iterable[int]) -> list[list[Axes]]:
    """Conditions that agree in all axes but those that are free."""
    found, free = dict[tuple[Any, ...], list[Axes]](), set(free)
    for axes in conditions:
        found.setdefault(tuple(value for at, value in enumerate(axes) if at not in free), []).append(axes)
    return list(found.values())
