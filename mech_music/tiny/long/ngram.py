"""An n-gram model of first-codebook tokens: what can be foretold from the last frames alone, without a memory.

Interpolated Witten–Bell smoothing (Witten and Bell 1991): an order's counts are mixed with the order below by how many
different tokens followed the same context.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from jaxtyping import Float, Int


class NGram:
    """``order`` tokens of context at most; ``card`` tokens."""

    def __init__(self, order: int, card: int) -> None:
        self.order, self.card = order, card
        self.counts: list[defaultdict[tuple[int, ...], Counter[int]]] = [defaultdict(Counter) for _ in range(order + 1)]

    def fit(self, tokens: Int[np.ndarray, "piece frame"]) -> NGram:
        """Count every context of every length."""
        for row in tokens.tolist():
            for at, token in enumerate(row):
                for length in range(min(self.order, at) + 1):
                    self.counts[length][tuple(row[at - length : at])][token] += 1
        return self

    def losses(self, tokens: Int[np.ndarray, "piece frame"]) -> Float[np.ndarray, "piece frame"]:
        """Negative log-likelihood of every token, in nats."""
        rows = [[self._loss(row, at) for at in range(len(row))] for row in tokens.tolist()]
        return np.array(rows)

    def _loss(self, row: list[int], at: int) -> float:
        p = 1.0 / self.card
        for length in range(min(self.order, at) + 1):
            followers = self.counts[length].get(tuple(row[at - length : at]))
            if followers:
                total, kinds = followers.total(), len(followers)
                p = (followers[row[at]] + kinds * p) / (total + kinds)
        return -float(np.log(p))
