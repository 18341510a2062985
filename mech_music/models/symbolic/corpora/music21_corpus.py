"""Chorales and tunes of music21's own corpus, which its package brings along."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from mech_music.base.errors import UserError, first_line
from mech_music.base.reading import readable
from mech_music.models.symbolic.corpora.scores import Heard, Reading, Score, one_metre


def chorales(path: str, limit: int) -> Reading:
    """Bach's chorales of the Riemenschneider edition that the corpus has, each once. ``limit``: 0 for all."""
    music21 = _music21()
    listed = music21.corpus.chorales.Iterator(returnType="filename")
    return _read(music21, sorted(set(map(str, listed))), limit)


def folk(path: str, limit: int) -> Reading:
    """The fiddle tunes of Ryan's Mammoth Collection (1883)."""
    music21 = _music21()
    files = music21.corpus.getComposer("ryansMammoth", fileExtensions=("abc",))
    return _read(music21, sorted(f"ryansMammoth/{Path(file).stem}" for file in files), limit)


def _music21() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import music21  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "corpus=chorales and corpus=folk are read from the package music21: install it with "
            "pip install 'mech_music[symbolic]', or choose corpus=planted"
        ) from None
    return music21


def _read(music21: Any, names: list[str], limit: int) -> Reading:
    empty = "music21's corpus is empty: install it again"
    return Reading(*readable(names[: limit or None], lambda name: _score(music21, name), empty))


def _score(music21: Any, name: str) -> Score:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = music21.corpus.parse(name, forceSource=True)
            if read.recurse().getElementsByClass("Repeat"):
                read = read.expandRepeats()
            parts = [_part(part) for part in read.parts]
            signs = [(sign.numerator, sign.denominator) for sign in read.recurse().getElementsByClass("TimeSignature")]
    except Exception as error:  # its readers raise many kinds here, all of which mean the same to the user
        raise UserError(f"'{name}' cannot be read by music21 ({first_line(error)}): leave it out") from None
    return Score(name, one_metre(name, signs), tuple(parts))


def _part(part: Any) -> tuple[Heard, ...]:
    """A part's notes, tied ones joined, from its first full bar on; of chords the highest note."""
    measures = list(part.getElementsByClass("Measure"))
    first = 0.0
    if len(measures) > 1 and measures[0].duration.quarterLength < measures[0].barDuration.quarterLength:
        first = float(measures[1].offset)
    return tuple(
        Heard(float(one.offset) - first, float(one.quarterLength), max(pitch.midi for pitch in one.pitches))
        for one in part.stripTies().flatten().notes
        if one.pitches and one.quarterLength > 0  # no chord symbols, no grace notes
    )
