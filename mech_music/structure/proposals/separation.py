"""How well distances tell returns from what only resembles them, on pieces of which that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from mech_music.metrics.intervals import Interval
from mech_music.structure.pieces.annotated import Kind, Section
from mech_music.structure.proposals.alignment import align
from mech_music.structure.proposals.descriptors import describe
from mech_music.structure.proposals.proposals import ProposalSettings, compare
from mech_music.structure.proposals.segments import cut


@dataclass(frozen=True)
class HeardPiece:
    """A piece as sound; ``sections`` in frames, ``frame_rate`` a second."""

    name: str
    audio: Float32[np.ndarray, " sample"]
    sample_rate: int
    sections: tuple[Section, ...]
    frame_rate: float


class Relation(NamedTuple):
    """What a later section is to an earlier one of its piece."""

    first: int
    second: int
    kind: Kind
    semitones: int


class Separation(NamedTuple):
    """AUC of a kind of pair against another, by one method."""

    method: str
    kind: str
    against: str
    auc: Interval


def relations(sections: Sequence[Section]) -> list[Relation]:
    """Of every two sections: a return if they have one music, a decoy if they have one harmony, else new."""
    found = []
    music = [_root(sections, at, decoys=False) for at in range(len(sections))]
    harmony = [_root(sections, at, decoys=True) for at in range(len(sections))]
    pitch = [section.semitones for section in sections]
    played = [section.kind is Kind.reorchestrated for section in sections]
    for second in range(len(sections)):
        for first in range(second):
            semitones = (pitch[second] - pitch[first] + 5) % 12 - 5
            if music[first] != music[second]:
                kind = Kind.decoy if harmony[first] == harmony[second] else Kind.new
            elif played[first] != played[second]:
                kind = Kind.reorchestrated
            else:
                kind = Kind.transposed if semitones else Kind.exact
            found.append(Relation(first, second, kind, semitones if kind.returns else 0))
    return found


def _root(sections: Sequence[Section], at: int, decoys: bool) -> int:
    """The first section that has this one's music, or (``decoys``) its harmony."""
    section = sections[at]
    goes_on = section.kind.returns or (decoys and section.kind is Kind.decoy)
    return at if section.source is None or not goes_on else _root(sections, section.source, decoys)


def separations(
    pieces: Sequence[HeardPiece], settings: ProposalSettings, resamples: int = 1000, level: float = 0.95
) -> list[Separation]:
    """AUC of each kind of return against decoys and against new sections, with percentile intervals over pieces.

    Methods: what is proposed by (``both``), its two halves, and ``plain chroma``: neither transposed nor centred.
    """
    described = [describe(piece.audio, piece.sample_rate) for piece in pieces]
    spans = [
        np.array([(one.start, one.end) for one in piece.sections], np.float64) / piece.frame_rate for piece in pieces
    ]
    segments, plain = (cut(described, spans, settings.steps, centred) for centred in (True, False))
    known = [relations(piece.sections) for piece in pieces]
    firsts = np.cumsum([0, *(len(piece.sections) for piece in pieces)])
    pairs = [
        np.array([(first + one.first, first + one.second) for one in some])
        for first, some in zip(firsts[:-1].tolist(), known, strict=True)
    ]
    every = np.concatenate(pairs)
    methods = {
        "both": np.concatenate([one.distance for one in compare(segments, pairs, settings)]),
        "melody": align((segments.melody,), every).distance,
        "chroma": align((segments.chroma,), every).distance,
        "plain chroma": align((plain.chroma,), every, transposed=False).distance,
    }
    kinds = np.array([one.kind.value for some in known for one in some])
    units = np.repeat(np.arange(len(pieces)), [len(some) for some in known])
    returning = {kind.value: kinds == kind.value for kind in Kind if kind.returns}
    returning = {"returns": np.any([*returning.values()], axis=0)} | returning
    return [
        Separation(method, kind, other, auc_interval(-distance, where, kinds == other, units, resamples, level))
        for method, distance in methods.items()
        for kind, where in returning.items()
        for other in ("decoy", "new")
        if where.any() and (kinds == other).any()
    ]


def auc_interval(
    scores: Float[np.ndarray, " pair"],
    positive: Bool[np.ndarray, " pair"],
    negative: Bool[np.ndarray, " pair"],
    units: Int[np.ndarray, " pair"],
    resamples: int,
    level: float,
    seed: int = 0,
) -> Interval:
    """The share of (positive, negative) pairs in the right order (ties half), with its percentile interval over units
    that are drawn with replacement. NaN where a side is empty; ``n``: units."""
    above, below = scores[positive], scores[negative]
    present, places = np.unique(units, return_inverse=True)
    if not len(above) or not len(below):
        return Interval(np.nan, np.nan, np.nan, len(present))
    order = (above[:, None] > below) + 0.5 * (above[:, None] == below)
    by_unit = np.zeros((2, len(present), max(len(above), len(below))))
    by_unit[0, places[positive], np.arange(len(above))] = 1
    by_unit[1, places[negative], np.arange(len(below))] = 1
    rights = by_unit[0, :, : len(above)] @ order @ by_unit[1, :, : len(below)].T
    totals = np.outer(by_unit[0].sum(1), by_unit[1].sum(1))
    draws = np.random.default_rng(seed).multinomial(
        len(present), np.full(len(present), 1 / len(present)), resamples
    )  # [resample, unit]
    right, total = (np.einsum("ru,uv,rv->r", draws, values, draws) for values in (rights, totals))
    drawn = np.sort(right[total > 0] / total[total > 0])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(rights.sum() / totals.sum()), float(low), float(high), len(present))
