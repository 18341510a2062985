"""How often an effect would be marked, with more prompts or seeds than a pilot had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from mech_music.metrics.inference import adjusted_p
from mech_music.metrics.intervals import mean_of_measured

Pilot = Float[np.ndarray, "site control unit seed"]


def power(
    groups: Sequence[Pilot],
    effect: float,
    n_units: int,
    n_seeds: int,
    level: float,
    seed: int,
    tables: int = 200,
    flips: int = 499,
) -> float:
    """The share of tables in which a site of the first group is marked against every control that was run.

    Tables are drawn from a pilot: ``groups`` are effect less control on units of their own, NaN where it was not
    measured, and marks are adjusted over all of them (`mech_music.metrics.inference`). Units are drawn with replacement
    from the pilot's, centred at zero; one site after the other has ``effect`` added. What differs between the seeds of
    a unit is drawn apart from what differs between units, whose means are shrunk by their share of it. ValueError for
    more seeds than one from a pilot that has one of each unit.
    """
    if n_seeds > 1 and groups[0].shape[3] == 1:
        raise ValueError("a pilot with one clip of each prompt does not tell what more of them would do")
    rng, parts, marked = np.random.default_rng(seed), [_parts(group) for group in groups], 0
    run = np.asarray(np.isfinite(groups[0]).any(axis=(2, 3)))
    sites = np.flatnonzero(run.any(axis=1))
    for table in range(tables):
        drawn = [_drawn(*part, n_units, n_seeds, rng) for part in parts]
        site = sites[table % len(sites)]
        drawn[0][site] += effect
        above = adjusted_p(drawn, level, flips, table)[0][0][0][site]
        marked += bool((above[run[site]] <= 1.0 - level + 1e-12).all())
    return marked / tables


def _parts(
    group: Pilot,
) -> tuple[Float64[np.ndarray, "site control unit"], Float64[np.ndarray, "site control unit seed"]]:
    """What differs between units, and between the seeds of one: with the variances that they have apart."""
    n_units, n_seeds = group.shape[2:]
    units = mean_of_measured(group, 3)
    units = units - mean_of_measured(units, 2)[..., None]
    spread = mean_of_measured(units**2, 2) * n_units / max(n_units - 1, 1)
    if n_seeds == 1:
        scale = np.full(spread.shape, np.sqrt(n_units / max(n_units - 1, 1)))
        return units * scale[..., None], np.zeros_like(group)
    within = (group - mean_of_measured(group, 3)[..., None]) * np.sqrt(n_seeds / (n_seeds - 1))
    noise = mean_of_measured(mean_of_measured(within**2, 3), 2) / n_seeds
    share = np.divide(np.maximum(spread - noise, 0.0), spread, out=np.zeros_like(spread), where=spread > 0)
    return units * np.sqrt(share * n_units / max(n_units - 1, 1))[..., None], within


def _drawn(
    units: Float64[np.ndarray, "site control unit"],
    within: Float64[np.ndarray, "site control unit seed"],
    n_units: int,
    n_seeds: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "site control unit"]:
    chosen = rng.integers(0, units.shape[2], n_units)
    places, seeds = (rng.integers(0, within.shape[axis], (n_units, n_seeds)) for axis in (2, 3))
    return units[:, :, chosen] + mean_of_measured(within[:, :, places, seeds], 3)
