"""Regularised logistic probes, out of fold: every row is forecast by a fit that never saw its track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from mech_music.base.errors import UserError
from mech_music.edits.content import stored

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""C of scikit-learn, the inverse weight of the L2 penalty on standardised columns."""


@stored
@dataclass(frozen=True)
class Probe:
    """``folds`` of tracks; within all but one of them C is chosen by log loss over ``inner`` folds of tracks.

    ``components``: principal components that columns are reduced to (fitted within the fold), 0 for none.
    """

    folds: int = 5
    inner: int = 3
    components: int = 0
    seed: int = 0

    def check(self) -> None:
        """UserError for a number that makes no sense."""
        for name, least in (("folds", 2), ("inner", 2), ("components", 0), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise UserError(f"probe.{name}={value}: expected {least} or more")


def fold_of(track: Int[np.ndarray, " row"], n: int, seed: int) -> Int[np.ndarray, " row"]:
    """The fold of each row: tracks whole, dealt out in an order that the seed draws. UserError for too few tracks."""
    tracks, own = np.unique(track, return_inverse=True)
    if len(tracks) < n:
        raise UserError(f"{len(tracks)} tracks have rows, too few for {n} folds: raise n_pieces, or lower probe.folds")
    order = np.random.default_rng(seed).permutation(len(tracks))
    return (np.argsort(order) % n)[own]


def one_class(y: Bool[np.ndarray, " row"], fold: Int[np.ndarray, " row"]) -> str:
    """Which fold, or all the others of one, has rows of one class only, and what to do; empty if none has."""
    for one in np.unique(fold):
        for part, word in ((fold == one, f"fold {one}"), (fold != one, f"all folds but {one}")):
            if y[part].all() or not y[part].any():
                kind = "returns" if y[part].all() else "nothing that returns"
                return (
                    f"{word} has one class only ({kind}): raise n_pieces, lower probe.folds, or leave the horizon out"
                )
    return ""


def forecast(
    x: Float[np.ndarray, "row column"],
    y: Bool[np.ndarray, " row"],
    track: Int[np.ndarray, " row"],
    fold: Int[np.ndarray, " row"],
    probe: Probe,
) -> Float[np.ndarray, " row"]:
    """The probability of a return, each row's from the fit on the other folds.

    UserError where a fold has one class only: nothing can be told apart there.
    """
    if not np.isfinite(x).all():
        raise UserError("a probe's columns have values that are not finite: the model's activations overflow")
    if reason := one_class(y, fold):
        raise UserError(reason)
    found = np.empty(len(y))
    for one in np.unique(fold):
        held_out = fold == one
        found[held_out] = _fitted(x[~held_out], y[~held_out], track[~held_out], probe, x[held_out])
    return found


def _fitted(x: np.ndarray, y: np.ndarray, track: np.ndarray, probe: Probe, held_out: np.ndarray) -> np.ndarray:
    """Of rows held out, by the C with the least log loss within."""
    parts = fold_of(track, probe.inner, probe.seed + 1)
    losses = np.zeros(len(PENALTIES))
    for part in range(probe.inner):
        own, other = parts != part, parts == part
        if y[own].all() or not y[own].any():
            continue
        for at, p in enumerate(_path(x[own], y[own], x[other], probe)):
            clipped = np.clip(p, 1e-12, 1 - 1e-12)
            losses[at] -= np.log(np.where(y[other], clipped, 1 - clipped)).sum()
    best = int(losses.argmin())
    return [*_path(x, y, held_out, probe, PENALTIES[: best + 1])][-1]


def _path(
    x: np.ndarray, y: np.ndarray, held_out: np.ndarray, probe: Probe, penalties: tuple[float, ...] = PENALTIES
) -> Iterator[np.ndarray]:
    """The probabilities of rows held out with each C, each fit begun at the one before."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    n_most = min(probe.components, x.shape[1], len(x))
    steps = [StandardScaler(), *([PCA(n_most, svd_solver="covariance_eigh")] if n_most else [])]
    scaling = make_pipeline(*steps)
    here, there = scaling.fit_transform(x.astype(np.float64)), scaling.transform(held_out.astype(np.float64))
    model = LogisticRegression(warm_start=True, max_iter=1000, tol=1e-3)
    for penalty in penalties:
        yield model.set_params(C=penalty).fit(here, y).predict_proba(there)[:, 1]
