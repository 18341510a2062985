"""How often an effect would be marked, with more prompts or seeds than a pilot had."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from mech_music.metrics.inference import adjusted_p


def power(
    differences: Float[np.ndarray, "site control unit seed"],
    effect: float,
    n_units: int,
    n_seeds: int,
    level: float,
    seed: int,
    tables: int = 200,
    flips: int = 499,
) -> float:
    """The share of tables in which a site is marked against every control (`mech_music.metrics.inference`).

    Tables are drawn from a pilot: ``differences`` are effect less control, centred at zero for each site and control;
    units, and seeds of each, are drawn with replacement, and one site after the other has ``effect`` added. NaN marks
    what was not measured. ValueError for more seeds than one from a pilot that has one of each unit.
    """
    n_pilot_units, n_pilot_seeds = differences.shape[2:]
    if n_seeds > 1 and n_pilot_seeds == 1:
        raise ValueError("a pilot with one clip of each prompt does not tell what more of them would do")
    rng = np.random.default_rng(seed)
    centred = differences - np.nanmean(differences, axis=(2, 3), keepdims=True)
    if n_pilot_units > 1:  # a mean of few has less spread than what it was taken from
        centred = centred * np.sqrt(n_pilot_units / (n_pilot_units - 1))
    marked = 0
    for table in range(tables):
        units = rng.integers(0, n_pilot_units, n_units)
        seeds = rng.integers(0, n_pilot_seeds, (n_units, n_seeds))
        drawn = np.nanmean(centred[:, :, units[:, None], seeds], axis=3)
        site = table % len(drawn)
        drawn[site] += effect
        ((above, _),), _ = adjusted_p([drawn.reshape(-1, n_units).T], level, flips, table)
        marked += bool((above.reshape(drawn.shape[:2])[site] <= 1.0 - level + 1e-12).all())
    return marked / tables
