"""Controls that are matched: for each of some cases another one that is like it in everything but the question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64
from scipy.optimize import linear_sum_assignment


def matched(
    covariates: Float[np.ndarray, "one covariate"], cases: Sequence[int], controls: Sequence[int]
) -> list[int | None]:
    """For each case a control of its own, so that all are together as near as can be (in standard deviations of each
    covariate over all); None for cases that are left over where there are fewer controls."""
    if not len(cases) or not len(controls):
        return [None] * len(cases)
    scaled = covariates / np.maximum(covariates.std(0), 1e-9)
    apart = ((scaled[list(cases), None] - scaled[None, list(controls)]) ** 2).sum(-1)
    found: dict[int, int] = {
        int(row): controls[int(column)] for row, column in zip(*linear_sum_assignment(apart), strict=True)
    }
    return [found.get(place) for place in range(len(cases))]


def imbalance(
    cases: Float[np.ndarray, "case covariate"], controls: Float[np.ndarray, "control covariate"]
) -> Float64[np.ndarray, " covariate"]:
    """Standardised mean differences: cases less controls, in their pooled standard deviations (below .25 is taken for
    matched: Rubin 2001)."""
    pooled = np.sqrt((cases.var(0) + controls.var(0)) / 2)
    return (cases.mean(0) - controls.mean(0)) / np.maximum(pooled, 1e-9)
