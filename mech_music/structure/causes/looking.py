"""Where heads look along annotated pieces: attention summed at places, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from mech_music.structure.causes.places import (
    REACH,
    Places,
    Steps,
    around_source,
    beat_of,
    elsewhere,
    new_of,
    recent,
    returning_steps,
    same_lag,
)
from mech_music.structure.pieces.annotated import AnnotatedPiece

BEATS = 48
"""Lags in beats that attention is told of; what is further back, or before the music, comes last."""


class Looking:
    """Sums attention at places, step by step, for the pieces of a pass: arrays ``[row, layer, head, place]``."""

    def __init__(self, pieces: Sequence[AnnotatedPiece], steps: Steps, shape: tuple[int, int], n_recent: int) -> None:
        per_piece = [
            {
                "around": around_source(piece, steps),
                "elsewhere": elsewhere(piece, steps),
                "same_lag": same_lag(piece, steps),
                "recent": recent(piece, steps, n_recent),
            }
            for piece in pieces
        ]
        self._places = {name: _stacked([own[name] for own in per_piece]) for name in per_piece[0]}
        self._counts = {
            name: np.array([len(own[name].steps) for own in per_piece]).astype(float) for name in per_piece[0]
        }
        self._beat = torch.from_numpy(np.stack([beat_of(piece, steps) for piece in pieces]))
        self._state = torch.from_numpy(np.stack([state_of(piece, steps) for piece in pieces]))
        rows, (layers, heads) = len(pieces), shape
        self._sums = {
            name: torch.zeros(rows, layers, heads, index.shape[-1]) for name, (index, _) in self._places.items()
        }
        self._by_beat = torch.zeros(2, rows, layers, heads, BEATS + 1)

    def see(self, layer: int, step: int, pattern: Float[Tensor, "row head key"]) -> None:
        """One step's weights of a layer. Keys that stand before the first step (a melody model's text) are left out."""
        pattern = pattern[..., pattern.shape[-1] - step - 1 :].cpu().float()
        for name, (index, weight) in self._places.items():
            if weight[:, step].any():
                at = index[:, step][:, None].expand(-1, pattern.shape[1], -1)
                self._sums[name][:, layer] += pattern.gather(-1, at) * weight[:, step][:, None]
        lag = self._beat[:, step, None] - self._beat[:, : step + 1]
        lag = torch.where(self._beat[:, : step + 1] < 0, BEATS, lag.clamp(0, BEATS))
        for state, sums in enumerate(self._by_beat):
            if (own := self._state[:, step] == state).any():
                into = torch.zeros(int(own.sum()), pattern.shape[1], BEATS + 1)
                sums[own, layer] += into.scatter_add(
                    2, lag[own][:, None].expand(-1, pattern.shape[1], -1), pattern[own]
                )

    def tensors(self) -> dict[str, Float32[np.ndarray, "row layer head *place"]]:
        """Means over the steps that have such places; NaN in pieces without any."""
        found = {name: mean_over(sums.numpy(), self._counts[name]) for name, sums in self._sums.items()}
        means = {name: found[name].sum(-1) for name in ("elsewhere", "same_lag", "recent")}
        counts = np.stack([(self._state == state).sum(1).numpy() for state in range(2)]).astype(float)
        by_beat = [mean_over(sums.numpy(), own) for sums, own in zip(self._by_beat, counts, strict=True)]
        around = found["around"].reshape(*found["around"].shape[:3], -1, 2 * REACH + 1).sum(3)
        aligned, source = (around[..., REACH + offset] for offset in (-1, 0))
        whole = {"source": source, "aligned": aligned, **means, "around": around}
        return whole | {"beats_returns": by_beat[0], "beats_new": by_beat[1]}


def state_of(piece: AnnotatedPiece, steps: Steps) -> Int64[np.ndarray, " step"]:
    """0 at steps of returns, 1 at those of new sections but the first, −1 elsewhere."""
    found = np.full(steps.n_steps, -1, np.int64)
    for step, _ in returning_steps(piece, steps):
        found[step] = 0
    for section in new_of(piece):
        found[list(steps.within(section.proper.start, section.proper.stop))] = 1
    return found


def _stacked(places: Sequence[Places]) -> tuple[Tensor, Tensor]:
    most = max(one.index.shape[1] for one in places)
    wide = [[np.pad(part, ((0, 0), (0, most - part.shape[1]))) for part in (one.index, one.weight)] for one in places]
    index, weight = (torch.from_numpy(np.stack(parts)) for parts in zip(*wide, strict=True))
    return index, weight


def mean_over(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    shape = (-1, *[1] * (sums.ndim - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts.reshape(shape) > 0, sums / counts.reshape(shape), np.nan).astype(np.float32)
