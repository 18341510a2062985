"""How far two annotators of a song agree: the ceiling of whatever is measured against one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from mech_music.metrics.intervals import Interval, mean_interval
from mech_music.structure.pieces.pop909.songs import Phrase, Song

_ALIKE = 2 / 3  # the least ratio of the lengths of phrases that are compared


class Ceiling(NamedTuple):
    """Means over songs. ``boundaries``: F1 of where phrases begin, with so many bars of tolerance; ``bars``: F1 of the
    pairs of bars that have one letter (Levy and Sandler 2008)."""

    boundaries: dict[int, Interval]
    bars: Interval


class PhrasePair(NamedTuple):
    """Bars from ``first`` on and from ``second`` on, as many of both: ``same`` letter to the annotator; ``other``: the
    share of these bars whose letters are the same to the other annotator."""

    first: int
    second: int
    bars: int
    same: bool
    other: float


def ceiling(songs: Sequence[Song], tolerances: Sequence[int] = (0, 1), resamples: int = 1000) -> Ceiling:
    """Of both annotators of these songs, with bootstrap intervals over songs."""
    boundaries = {
        bars: mean_interval(np.array([boundary_f1(*song.phrases, bars) for song in songs]), resamples, 0.95, 0)
        for bars in tolerances
    }
    return Ceiling(boundaries, mean_interval(np.array([pair_f1(*song.phrases) for song in songs]), resamples, 0.95, 0))


def boundary_f1(one: Sequence[Phrase], other: Sequence[Phrase], tolerance: int) -> float:
    """F1 of the starts of phrases but the first, each matched with one within ``tolerance`` bars. NaN for none."""
    starts = [sorted(phrase.start for phrase in phrases[1:]) for phrases in (one, other)]
    met, place = 0, 0
    for start in starts[0]:
        while place < len(starts[1]) and starts[1][place] < start - tolerance:
            place += 1
        if place < len(starts[1]) and starts[1][place] <= start + tolerance:
            met, place = met + 1, place + 1
    return 2 * met / (len(starts[0]) + len(starts[1])) if starts[0] or starts[1] else np.nan


def pair_f1(one: Sequence[Phrase], other: Sequence[Phrase]) -> float:
    """F1 of the pairs of bars that have the same letter. NaN where no two bars have."""
    bars = min(one[-1].end, other[-1].end)
    upper = np.triu(np.ones((bars, bars), bool), 1)
    same = [_same(phrases, bars) & upper for phrases in (one, other)]
    total = same[0].sum() + same[1].sum()
    return float(2 * (same[0] & same[1]).sum() / total) if total else np.nan


def phrase_pairs(song: Song, annotator: int) -> list[PhrasePair]:
    """Every two phrases with a melody and of about one length, from their first bars on."""
    mine, theirs = song.phrases[annotator], song.phrases[1 - annotator]
    phrases = [one for one in mine if one.lettered and one.letter.isupper()]
    bars = max(mine[-1].end, theirs[-1].end)
    same = _same(theirs, bars)
    found = []
    for second in phrases:
        for first in phrases:
            shorter, longer = sorted(one.end - one.start for one in (first, second))
            if first.start < second.start and shorter >= _ALIKE * longer:
                agreed = np.diagonal(same, second.start - first.start)[first.start : first.start + shorter]
                found.append(
                    PhrasePair(first.start, second.start, shorter, first.letter == second.letter, float(agreed.mean()))
                )
    return found


def lags(song: Song, annotator: int) -> Float64[np.ndarray, " return"]:
    """Bars from each return to the latest phrase of its letter."""
    phrases = song.phrases[annotator]
    sources = [(phrase, phrase.source_in(phrases)) for phrase in phrases]
    return np.array([phrase.start - phrases[at].start for phrase, at in sources if at is not None], np.float64)


def _same(phrases: Sequence[Phrase], bars: int) -> Bool[np.ndarray, "bar bar"]:
    """Which bars have the same letter; those outside letters are like none."""
    letters = np.zeros(bars, int)
    for phrase in phrases:
        if phrase.lettered:
            letters[phrase.start : phrase.end] = ord(phrase.letter)
    return (letters[:, None] == letters) & (letters > 0)
