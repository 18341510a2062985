"""Heads by name, and which are chosen: by a score, or at random as a control; what is done to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from mech_music.base.errors import UserError

_HEAD, _NAMED = re.compile(r"(\d+)\.(\d+)"), re.compile(r"L(\d+)H(\d+)")
_DOTTED = 10  # heads of a layer, up to which a number can name one
_TESTED = 0.5  # of the tracks


class Head(NamedTuple):
    """A head of a layer's self-attention, written ``2.1``."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


def parse_heads(words: Sequence[str], n_layers: int, n_heads: int) -> tuple[Head, ...]:
    """``["2.1", "L3H0"]``; ``n_heads`` 0 where it is not known. UserError for what is no head of this model.

    With more than ten heads only ``L2H10`` is read: as a number, 2.10 would be 2.1.
    """
    found = []
    for word in words:
        match = _NAMED.fullmatch(word) or (_HEAD.fullmatch(word) if n_heads <= _DOTTED else None)
        if match is None:
            example = "L2H1; several as heads=[L2H1,L3H0]" if n_heads > _DOTTED else "2.1; several as heads=[2.1,3.0]"
            raise UserError(f"heads={word}: expected layer and head of this model, such as {example}")
        found.append(Head(int(match[1]), int(match[2])))
    if len(set(found)) < len(found):
        raise UserError(f"heads=[{', '.join(words)}]: a head is named twice; name each once")
    must_exist(found, n_layers, n_heads)
    return tuple(found)


def must_exist(heads: Sequence[Head], n_layers: int, n_heads: int) -> None:
    """UserError for a head that the model does not have; ``n_heads`` 0 where it is not known."""
    for head in heads:
        if head.layer >= n_layers or (n_heads and head.head >= n_heads):
            each = f", each with heads 0 to {n_heads - 1}" if n_heads else ""
            raise UserError(f"heads={head}: this model has layers 0 to {n_layers - 1}{each}")


def ranked(score: Float[np.ndarray, "layer head"]) -> list[Head]:
    """All heads, the highest score first; those without one last."""
    flat = np.where(np.isnan(score), -np.inf, score).ravel()
    return [Head(*map(int, np.unravel_index(place, score.shape))) for place in np.argsort(-flat, kind="stable")]


def random_like(found: Sequence[Head], n_layers: int, n_heads: int, seed: int) -> list[Head]:
    """As many others, each of its found head's own layer as long as that has any left, else of the nearest that has.

    UserError where fewer heads are left than were found.
    """
    left = [Head(layer, head) for layer in range(n_layers) for head in range(n_heads) if (layer, head) not in found]
    if len(left) < len(found):
        raise UserError(
            f"sizes={len(found)}: the model has {n_layers * n_heads} heads, and as many others are the control; use at "
            f"most {n_layers * n_heads // 2}"
        )
    rng, drawn = np.random.default_rng([seed, len(found)]), list[Head]()
    for layer in sorted(one.layer for one in found):
        near = min(abs(one.layer - layer) for one in left)
        nearest = [one for one in left if abs(one.layer - layer) == near]
        drawn.append(nearest[int(rng.integers(len(nearest)))])
        left.remove(drawn[-1])
    return sorted(drawn)


def factor_of(how: str) -> float:
    """What is left of a value: 0 for mean and zero, else the factor. UserError for no factor."""
    if how in ("mean", "zero"):
        return 0.0
    try:
        factor = float(how)
    except ValueError:
        factor = float("nan")
    if not np.isfinite(factor):
        raise UserError(f"how={how}: expected mean, zero, or a factor such as 0.5 or 2")
    return factor


def split_tracks(tracks: Sequence[str], seed: int) -> Bool[np.ndarray, " piece"]:
    """Which pieces are tested on; heads are found on the others. Half of the tracks each, whole, at random.

    UserError for fewer than four tracks.
    """
    own = sorted(set(tracks))
    if len(own) < 4:
        raise UserError(
            f"{len(own)} tracks among {len(tracks)} pieces: heads are found on half of the tracks and tested on the "
            "others, so 4 or more are needed: raise n_pieces"
        )
    order = np.random.default_rng(seed).permutation(len(own))
    tested = {own[place] for place in order[: round(_TESTED * len(own))]}
    return np.array([track in tested for track in tracks])
