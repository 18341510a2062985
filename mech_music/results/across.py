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
from mech_music.results.comparison import Axes, Beside, effects_beside

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
    clips: Mapping[Axes, frozenset[str]] | None = None,
) -> dict[Axes, Numbers]:
    """The columns of `Schema.across_columns`, by axes; those that a condition is not given are missing.

    ``values``: all metrics by axes, a line for each prompt, NaN where there is none. ``clips``: as in `compare`.
    """
    comparison = schema.comparison
    if comparison is None:
        return {}
    sample, told = _Sample(resamples, level, seed), dict[Axes, Numbers]()
    groups = effects_beside(schema, comparison, values, clips or {})
    metric = schema.metrics.index(comparison.metric)
    for found in (
        *(_selected(group, group.less(values, metric), schema, sample) for group in groups),
        *(_slopes(group, values, schema, sample) for group in groups),
        _pooled(values, schema, comparison, sample),
    ):
        for axes, numbers in found:
            told.setdefault(axes, {}).update(numbers)
    return told


def _selected(
    group: Beside, less: Float64[np.ndarray, "site control unit"], schema: Schema, sample: _Sample
) -> Iterator[tuple[Axes, Numbers]]:
    """How often a site is the best one on nine tenths of the prompts, and what the chosen ones do on the other tenth.

    Best: the greatest margin over its highest control. The greatest of many noisy margins is too great on the prompts
    that chose it; on others it is not (cross-validation). Only where there are several sites; sets of layers are none,
    nor is what lacks the clips of a control.
    """
    layer, units = schema.axes.index("layer") if "layer" in schema.axes else None, less.shape[2]
    single = np.array([layer is None or str(axes[layer]).isdecimal() for axes in group.controls])
    told = np.asarray(np.isfinite(less).any(axis=2))
    sites = single & np.any(told, axis=1) & np.all(told == group.run, axis=1)
    if sites.sum() < 2 or units < 2:
        return
    chosen, held_out = np.zeros(len(less)), np.full(units, np.nan)
    folds = np.array_split(np.arange(units), min(_FOLDS, units))
    for fold in folds:
        means = mean_of_measured(np.delete(less, fold, axis=2), axis=2)
        means[~sites | np.isnan(means).all(axis=1)] = -np.inf
        site = int(np.argmax(np.nanmin(means, axis=1)))
        chosen[site] += 1.0 / len(folds)
        held_out[fold] = less[site, int(np.nanargmin(means[site])), fold]
    numbers = sample.spread("selected_margin", held_out)
    found = zip(group.controls, chosen.tolist(), sites.tolist(), strict=True)
    yield from ((axes, {"chosen": share, **numbers}) for axes, share, is_site in found if is_site)


def _slopes(
    group: Beside, values: Mapping[Axes, np.ndarray], schema: Schema, sample: _Sample
) -> Iterator[tuple[Axes, Numbers]]:
    """By how much the effect grows with a unit of the dose, and by how much more than its steepest control's."""
    assert schema.comparison is not None
    if not schema.comparison.dose:
        return
    metric, at = schema.metrics.index(schema.comparison.metric), schema.axes.index(schema.comparison.dose)
    less, places = group.less(values, metric), {axes: place for place, axes in enumerate(group.controls)}
    for members in _alike(group.controls, [at]):
        doses = np.array([float(axes[at]) for axes in members])
        if len(set(doses.tolist())) < 2:
            continue
        numbers = sample.spread("slope", _slope(doses, np.stack([values[axes][:, metric] for axes in members])))
        margins = _slope(doses, less[[places[axes] for axes in members]])
        means = mean_of_measured(margins, axis=1)
        if not np.isnan(means).all():
            numbers |= sample.spread("slope_margin", margins[int(np.nanargmin(means))])
        yield from ((axes, numbers) for axes in members)


def _slope(doses: Float64[np.ndarray, " dose"], values: Float64[np.ndarray, "dose ..."]) -> np.ndarray:
    """Least squares, each unit by itself; NaN where it was not measured at every dose."""
    centred = doses - doses.mean()
    return np.tensordot(centred, values, axes=1) / (centred**2).sum()


def _pooled(
    values: Mapping[Axes, np.ndarray], schema: Schema, comparison: Comparison, sample: _Sample
) -> Iterator[tuple[Axes, Numbers]]:
    """Means over pairs of their means; what pairs have on one prompt (their clips, its context) is one unit together.

    About these pairs, for further prompts of the kind; what other pairs would do it does not say. A control that some
    pair of the effects lacks has none.
    """
    columns = [schema.metrics.index(name) for name in comparison.pooled_metrics]
    free = [schema.axes.index(name) for name in comparison.pooled]
    role, beside = schema.axes.index("role"), [schema.axes.index(name) for name in (*comparison.edit, "role")]

    def context(axes: Axes) -> Axes:
        return tuple(value for at, value in enumerate(axes) if at not in (*free, *beside))

    pairs: dict[Axes, set[Axes]] = {}
    for axes in (axes for axes in values if axes[role] == schema.roles[0]):
        pairs.setdefault(context(axes), set()).add(tuple(axes[at] for at in free))
    for members in _alike(values, free):
        own = {tuple(axes[at] for at in free) for axes in members}
        lacking = members[0][role] != schema.roles[0] and own != pairs.get(context(members[0]))
        if len(members) < 2 or lacking:
            continue
        every = [values[axes][:, columns] for axes in members]
        numbers: Numbers = {}
        for at, name in enumerate(comparison.pooled_metrics):
            numbers |= sample.spread(f"pooled_{name}", _by_unit([one[:, at] for one in every]))
        yield from ((axes, numbers) for axes in members)


def _by_unit(members: list[Float64[np.ndarray, " unit"]]) -> Float64[np.ndarray, " unit"]:
    """Values whose mean is the mean of the members' means, and whose variance that of units drawn for all of them.

    Where all members have all units, their mean on each. Else each unit has what it adds to the means (linearised),
    as members may have units of their own.
    """
    values = np.full((len(members), max(map(len, members))), np.nan)
    for place, own in enumerate(members):
        values[place, : len(own)] = own
    n, means = np.isfinite(values).sum(axis=1), mean_of_measured(values, axis=1)
    measured = np.isfinite(values).any(axis=0)
    if not n.all():
        return np.full(values.shape[1], np.nan)
    added = np.nan_to_num((values - means[:, None]) / n[:, None]).sum(axis=0) * measured.sum() / len(members)
    return np.where(measured, means.mean() + added, np.nan)


def _alike(conditions: Iterable[Axes], free: Iterable[int]) -> list[list[Axes]]:
    """Conditions that agree in all axes but those that are free."""
    found, free = dict[tuple[Any, ...], list[Axes]](), set(free)
    for axes in conditions:
        found.setdefault(tuple(value for at, value in enumerate(axes) if at not in free), []).append(axes)
    return list(found.values())
