"""What two places have in common that are not the same music, and how unlikely a pair is among such.

Two nulls, each of a track's own, and a pair has to be unlikely under both:

- *other tracks*: the first place against places of other tracks that are nearest to the second in timbre and loudness;
- *shuffled*: the first place against the second with its parts in another order, so that instruments, loudness, harmony
  and notes are the very same, and only what follows what is not.

Before that, what texture alone does to a distance is taken out: its regression on the differences of timbre and
loudness over pairs of different tracks, none of which is a return.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from mech_music.structure.proposals.alignment import align
from mech_music.structure.proposals.segments import Segments

_PARTS = 8  # of a shuffled place: a part moves by more than the band of the alignment
_NEAREST = 5  # segments of other tracks, in texture, of which one is drawn
_FEWEST = 100  # pairs that a regression needs


@dataclass(frozen=True)
class Texture:
    """``coefficients``: what a unit of difference in timbre, and a dB in loudness, adds to a distance; ``centre``: the
    differences at which nothing is added. ``explained``: the share of variance (R²)."""

    coefficients: Float64[np.ndarray, " 2"]
    centre: Float64[np.ndarray, " 2"]
    explained: float

    def removed(
        self, distance: Float64[np.ndarray, " pair"], differences: Float64[np.ndarray, "pair 2"]
    ) -> Float64[np.ndarray, " pair"]:
        """Distances less what texture makes of them."""
        return distance - (differences - self.centre) @ self.coefficients


def across_tracks(segments: Segments, n: int, rng: np.random.Generator) -> Int[np.ndarray, "pair 2"]:
    """Pairs of different tracks at random; none where there is one track."""
    tracks = segments.track
    if len(set(tracks.tolist())) < 2:
        return np.empty((0, 2), int)
    pairs = rng.integers(0, len(tracks), (4 * n, 2))
    return pairs[tracks[pairs[:, 0]] != tracks[pairs[:, 1]]][:n]


def fit_texture(segments: Segments, n: int, seed: int) -> Texture:
    """By least squares over ``n`` pairs of different tracks; nothing is taken out where there are too few."""
    pairs = across_tracks(segments, n, np.random.default_rng([seed, 0]))
    if len(pairs) < _FEWEST:
        return Texture(np.zeros(2), np.zeros(2), 0.0)
    distance, differences = align(segments.pitch, pairs).distance.astype(np.float64), segments.texture_between(pairs)
    centre = differences.mean(0)
    design = differences - centre
    coefficients = np.linalg.lstsq(design, distance - distance.mean(), rcond=None)[0]
    explained = 1 - ((distance - distance.mean() - design @ coefficients) ** 2).mean() / max(distance.var(), 1e-12)
    return Texture(coefficients, centre, float(explained))


def null_of_track(
    segments: Segments, pairs: Int[np.ndarray, "pair 2"], texture: Texture, n: int, seed: int
) -> list[Float64[np.ndarray, " null"]]:
    """Distances, without texture, under the two nulls, each of up to ``n`` pairs made from a track's own ``pairs``."""
    rng = np.random.default_rng([seed, 1, int(segments.track[pairs[0, 0]])])
    chosen = pairs[rng.permutation(len(pairs))[:n]] if len(pairs) >= n else pairs[rng.integers(0, len(pairs), n)]
    found = [_shuffled(segments, chosen, texture, rng)]
    if len(others := np.flatnonzero(segments.track != segments.track[pairs[0, 0]])) >= _NEAREST:
        found.append(_of_others(segments, chosen, others, texture, rng))
    return found


def _shuffled(
    segments: Segments, pairs: Int[np.ndarray, "pair 2"], texture: Texture, rng: np.random.Generator
) -> Float64[np.ndarray, " null"]:
    steps = segments.chroma.shape[1]
    orders = np.stack([_derangement(_PARTS, rng) for _ in pairs])
    part = np.arange(steps) * _PARTS // steps
    order = np.argsort(orders[:, part], axis=1, kind="stable")  # parts keep their insides, and their lengths
    second = pairs[:, 1]
    moved = [np.take_along_axis(values[second], order[..., None], 1) for values in segments.pitch]
    both = tuple(
        np.concatenate([values[pairs[:, 0]], other]) for values, other in zip(segments.pitch, moved, strict=True)
    )
    n = len(pairs)
    distance = align(both, np.stack([np.arange(n), n + np.arange(n)], 1)).distance.astype(np.float64)
    return texture.removed(distance, segments.texture_between(pairs))


def _of_others(
    segments: Segments,
    pairs: Int[np.ndarray, "pair 2"],
    others: Int[np.ndarray, " other"],
    texture: Texture,
    rng: np.random.Generator,
) -> Float64[np.ndarray, " null"]:
    """A place of another track in the stead of the second: one of those that are nearest in texture."""
    scale = segments.timbre.std(0) + 1e-6
    place = np.concatenate([segments.timbre / scale, segments.loudness[:, None]], 1)
    seconds, which = np.unique(pairs[:, 1], return_inverse=True)
    apart = ((place[seconds, None] - place[None, others]) ** 2).sum(-1)
    nearest = others[np.argsort(apart, axis=1, kind="stable")[:, :_NEAREST]]
    instead = nearest[which, rng.integers(0, _NEAREST, len(pairs))]
    matched = np.stack([pairs[:, 0], instead], 1)
    distance = align(segments.pitch, matched).distance.astype(np.float64)
    return texture.removed(distance, segments.texture_between(matched))


def _derangement(n: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A random order in which no part stays, or comes right after the one that it came after."""
    while True:
        order = rng.permutation(n)
        if (order != np.arange(n)).all() and (np.diff(order) != 1).all():
            return order


def p_under(
    values: Float64[np.ndarray, " pair"], nulls: list[Float64[np.ndarray, " null"]]
) -> tuple[Float64[np.ndarray, " pair"], Float64[np.ndarray, " pair"]]:
    """``p``: the share of null pairs at least as near (counting the pair itself), the greater of the nulls'.
    ``score``: how many of a null's standard deviations below its mean, the lesser of them."""
    ps, scores = [], []
    for null in nulls:
        ordered = np.sort(null)
        ps.append((1 + np.searchsorted(ordered, values, side="right")) / (1 + len(null)))
        scores.append((null.mean() - values) / max(null.std(), 1e-9))
    return np.max(ps, 0), np.min(scores, 0)
