"""Linear probes of clips: of a few columns, chosen and weighed on the clips that features are chosen by, or of all.

k-sparse probing after Gurnee et al., "Finding neurons in a haystack" (2023). Columns are added one at a time, each time
the one that the errors of the probe so far go along with most (the score statistic), so that k columns hold k − 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from mech_music.base.errors import UserError
from mech_music.saes.concepts import auroc

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

SPARSE, DENSE = 1.0, 0.01
"""Inverse weight of the L2 penalty on standardised columns: of a few, and of all."""
SIZES = (1, 2, 5)
"""Columns of sparse probes."""
Columns = Float[np.ndarray, "clip column"]
Positive = Bool[np.ndarray, " clip"]


class Probing:
    """What clips have in some columns: those that probes are fitted on, and those that they are tested on.

    Clips that failed (NaN) are left out. Each probe says with which AUROC it tells positive clips from others among the
    tested ones; NaN without positive or without other clips in either set.
    """

    def __init__(self, fitted_on: Columns, tested: Columns) -> None:
        self._kept = [np.isfinite(values).all(axis=1) for values in (fitted_on, tested)]
        here, there = (values[kept].astype(float) for values, kept in zip((fitted_on, tested), self._kept, strict=True))
        mean, spread = here.mean(0), here.std(0)
        varies = spread > 1e-9 * np.maximum(np.abs(mean), 1e-9)
        scaling = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
        self._spread = spread
        self._here, self._there = (here - mean) * scaling, (there - mean) * scaling

    def sparse(self, positive: Positive, tested: Positive, sizes: Sequence[int]) -> dict[int, tuple[list[int], float]]:
        """For each size, the columns of a probe and its AUROC; fewer columns where no other one varies."""
        own, held = self._labels(positive, tested)
        if not (_both(own) and _both(held)):
            return {size: ([], float("nan")) for size in sizes}
        columns, found = list[int](), dict[int, tuple[list[int], float]]()
        errors = own - own.mean()
        for size in range(1, max(sizes) + 1):
            columns = self._with_next(columns, errors)
            probe = _fitted(self._here[:, columns], own, SPARSE)
            errors = own - probe.predict_proba(self._here[:, columns])[:, 1]
            if size in sizes:
                scores = probe.decision_function(self._there[:, columns])
                found[size] = ([*columns], float(auroc(scores[:, None], held)[0]))
        return found

    def _with_next(self, columns: list[int], errors: Float[np.ndarray, " clip"]) -> list[int]:
        scores = np.abs(errors @ self._here)
        scores[columns] = -1.0
        best = int(scores.argmax())
        return [*columns, best] if scores[best] > 0 or not columns else columns

    def dense(self, positive: Positive, tested: Positive) -> float:
        """The AUROC of a probe of every column."""
        own, held = self._labels(positive, tested)
        if not (_both(own) and _both(held)):
            return float("nan")
        scores = _fitted(self._here, own, DENSE).decision_function(self._there)
        return float(auroc(scores[:, None], held)[0])

    def difference(self, positive: Positive, tested: Positive) -> tuple[float, float]:
        """The AUROC of what clips have along the positive ones' mean less that of the others (in the columns' own
        units), on the clips that the means are of, and on the tested ones."""
        own, held = self._labels(positive, tested)
        if not (_both(own) and _both(held)):
            return float("nan"), float("nan")
        direction = (self._here[own].mean(0) - self._here[~own].mean(0)) * self._spread**2
        here, there = (auroc((x @ direction)[:, None], y) for x, y in ((self._here, own), (self._there, held)))
        return float(here[0]), float(there[0])

    def _labels(self, positive: Positive, tested: Positive) -> tuple[Positive, Positive]:
        return positive[self._kept[0]], tested[self._kept[1]]


def _both(positive: Positive) -> bool:
    return bool(positive.any() and not positive.all())


def _fitted(values: Columns, positive: Positive, penalty: float) -> LogisticRegression:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise UserError("probes need scikit-learn: pip install scikit-learn") from None
    return LogisticRegression(C=penalty, class_weight="balanced", max_iter=2000, tol=1e-5).fit(values, positive)
