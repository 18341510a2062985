"""Distances of a song's phrases in sound against what its annotators call the same: how near a person they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from mech_music.metrics.intervals import Interval
from mech_music.structure.pieces.pop909.agreement import phrase_pairs
from mech_music.structure.pieces.pop909.songs import Song
from mech_music.structure.pieces.pop909.sound import SAMPLE_RATE
from mech_music.structure.proposals.alignment import align
from mech_music.structure.proposals.descriptors import describe
from mech_music.structure.proposals.proposals import ProposalSettings, compare
from mech_music.structure.proposals.segments import cut
from mech_music.structure.proposals.separation import auc_interval


class AgainstPeople(NamedTuple):
    """AUC of telling phrase pairs of one letter from others, to the annotator of this number, over ``n`` songs.

    ``person``: by the other annotator's letters; ``proposals``: by aligned distance; ``plain``: by chroma as it is.
    """

    annotator: int
    pairs: int
    same: float
    person: Interval
    proposals: Interval
    plain: Interval


def against_people(
    songs: Sequence[Song],
    sound: Callable[[Song], Float32[np.ndarray, " sample"]],
    settings: ProposalSettings,
    annotator: int = 0,
    resamples: int = 1000,
) -> AgainstPeople:
    """Every two phrases with a melody and of about one length; intervals are over songs."""
    pairs = [phrase_pairs(song, annotator) for song in songs]
    kept = [(song, some) for song, some in zip(songs, pairs, strict=True) if some]
    described = [describe(sound(song), SAMPLE_RATE) for song, _ in kept]
    spans = [
        np.array([(start, start + one.bars) for one in some for start in (one.first, one.second)]) * song.bar_seconds
        for song, some in kept
    ]
    segments, plain = (cut(described, spans, settings.steps, centred) for centred in (True, False))
    firsts = np.cumsum([0, *(len(some) for some in spans)])
    indices = [first + np.arange(2 * len(some)).reshape(-1, 2) for first, (_, some) in zip(firsts, kept, strict=False)]
    distance = np.concatenate([one.distance for one in compare(segments, indices, settings)])
    bare = align((plain.chroma,), np.concatenate(indices), transposed=False).distance
    every = [one for _, some in kept for one in some]
    same, units = np.array([one.same for one in every]), np.repeat(np.arange(len(kept)), [len(s) for _, s in kept])
    person, ours, naive = (
        auc_interval(scores, same, ~same, units, resamples, 0.95)
        for scores in (np.array([one.other for one in every]), -distance, -bare.astype(np.float64))
    )
    return AgainstPeople(annotator, len(every), float(same.mean()), person, ours, naive)
