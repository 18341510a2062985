"""A song's notes, chords and phrases, from the text files of its folder."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from mech_music.base.errors import UserError, first_line
from mech_music.base.paths import user_path
from mech_music.base.reading import readable

log = logging.getLogger(__name__)
MELODY, CHORDS, TEMPO = "melody.txt", "finalized_chord.txt", "tempo.txt"
LABELS = ("human_label1.txt", "human_label2.txt")
SIXTEENTHS = 4  # of a beat
_UNLETTERED = "ioXx"  # introductions, endings, and what belongs to no letter
_PHRASE = re.compile(r"([A-Za-z])(\d+)")
_CHORD = re.compile(r"^\S+\s+\[([\d,\s]*)\]\s+(?:(\d+)\s+)?(\d+)$")
_METRES = (3, 4)


class Phrase(NamedTuple):
    """Bars ``start`` to ``end`` (exclusive). Phrases of one letter are the same music to the annotator; capital letters
    have a melody."""

    letter: str
    start: int
    end: int

    @property
    def lettered(self) -> bool:
        """Whether it may return: it is no introduction, ending, or bars that belong to no letter."""
        return self.letter not in _UNLETTERED

    def source_in(self, phrases: Sequence[Phrase]) -> int | None:
        """The number of the latest earlier phrase of the same letter; None where it is new."""
        if not self.lettered:
            return None
        earlier = [at for at, one in enumerate(phrases) if one.letter == self.letter and one.start < self.start]
        return earlier[-1] if earlier else None


class Sounding(NamedTuple):
    """A note, in sixteenths from the first bar on."""

    start: int
    length: int
    pitch: int


class Chord(NamedTuple):
    """Pitch classes over a root, in sixteenths; no classes where nothing sounds."""

    start: int
    length: int
    classes: tuple[int, ...]
    root: int


@dataclass(frozen=True)
class Song:
    """``tempo``: beats a minute; ``metre``: beats of a bar; ``phrases``: as either annotator heard them."""

    name: str
    tempo: float
    metre: int
    melody: tuple[Sounding, ...]
    chords: tuple[Chord, ...]
    phrases: tuple[tuple[Phrase, ...], tuple[Phrase, ...]]

    @property
    def bar_seconds(self) -> float:
        return self.metre * 60 / self.tempo

    @property
    def bars(self) -> int:
        """Of the first annotator."""
        return self.phrases[0][-1].end

    def semitones(self, first: Phrase, second: Phrase) -> int:
        """The transposition, from −5 to 6, at which the second's melody agrees most with the first's."""
        bars = min(first.end - first.start, second.end - second.start)
        one, other = (self._line(phrase.start, bars) for phrase in (first, second))
        both = (one >= 0) & (other >= 0)
        if not both.any():
            return 0
        apart = np.bincount((other[both] - one[both]) % 12, minlength=12)
        return int((apart.argmax() + 5) % 12 - 5)

    def _line(self, bar: int, bars: int) -> Int[np.ndarray, " sixteenth"]:
        """The melody's pitch at each sixteenth, −1 for silence."""
        each = self.metre * SIXTEENTHS
        line = np.full(max((bar + bars) * each, 1), -1)
        for note in self.melody:
            line[note.start : note.start + note.length] = note.pitch
        return line[bar * each : (bar + bars) * each]


def read_songs(path: str, names: Sequence[str] = ()) -> list[Song]:
    """The songs of a folder in order, or those with these names. Of all songs, those whose files cannot be read are
    left out, with a warning. UserError for a folder of something else, or a named song that cannot be read."""
    folder = user_path(path)
    if (folder / "POP909").is_dir():
        folder = folder / "POP909"
    found = sorted(place for place in folder.glob("*") if (place / LABELS[0]).is_file()) if folder.is_dir() else []
    if not found:
        raise UserError(
            f"pieces.path={path}: no song with {LABELS[0]} in this folder; expected the folder POP909 of the "
            "repository hierarchical-structure-analysis, as it was fetched"
        )
    if lacking := set(names) - {place.name for place in found}:
        raise UserError(f"pieces.path={path}: no song '{min(lacking)}' in this folder; it has {len(found)}")
    if names:
        return [read_song(place) for place in found if place.name in names]
    songs, wrong = readable(found, read_song)
    if wrong:
        log.warning("%d of %d songs are left out: %s", len(wrong), len(found), wrong[0])
    return songs


def read_song(folder: Path) -> Song:
    """One song. UserError for a file that is missing, or that says something else than such files do."""
    phrases = tuple(_phrases(folder / name) for name in LABELS)
    melody, chords = _melody(folder / MELODY), _chords(folder / CHORDS)
    (tempo,) = _numbers(folder / TEMPO, _lines(folder / TEMPO)[:1], 1)[0]
    if not 20 <= tempo <= 400:
        raise UserError(f"'{folder / TEMPO}': tempo {tempo:g}; expected 20 to 400 beats a minute")
    beats = (chords[-1].start + chords[-1].length) / SIXTEENTHS
    metre = min(_METRES, key=lambda metre: abs(beats / phrases[0][-1].end - metre))
    return Song(folder.name, float(tempo), metre, melody, chords, (phrases[0], phrases[1]))


def _lines(file: Path) -> list[str]:
    try:
        found = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"'{file}' cannot be read ({first_line(error)}): fetch the song's folder again") from None
    if not found:
        raise UserError(f"'{file}' is empty: fetch the song's folder again")
    return found


def _phrases(file: Path) -> tuple[Phrase, ...]:
    text = "".join(_lines(file))
    if not re.fullmatch(rf"(?:{_PHRASE.pattern})+", text):
        raise UserError(f"'{file}' says '{text[:40]}': expected letters with a number of bars each, such as i4A8B8A8o2")
    found, bar = [], 0
    for letter, bars in _PHRASE.findall(text):
        if int(bars):
            found.append(Phrase(letter, bar, bar + int(bars)))
            bar += int(bars)
    return tuple(found)


def _melody(file: Path) -> tuple[Sounding, ...]:
    found, at = [], 0
    for pitch, length in _numbers(file, _lines(file), 2):
        if pitch:  # 0 is a rest
            found.append(Sounding(at, length, pitch))
        at += length
    return tuple(found)


def _chords(file: Path) -> tuple[Chord, ...]:
    found, at = [], 0
    for number, line in enumerate(_lines(file), 1):
        if (match := _CHORD.match("".join(filter(str.isprintable, line)).strip())) is None:
            raise UserError(f"'{file}', line {number}: '{line[:40]}'; expected a name, [pitch classes], root and beats")
        classes = tuple(int(one) % 12 for one in match[1].split(",") if one.strip())
        length = int(match[3]) * SIXTEENTHS
        if length:
            found.append(Chord(at, length, classes, int(match[2] or 0) % 12))
        at += length
    return tuple(found)


def _numbers(file: Path, lines: Sequence[str], n: int) -> list[tuple[int, ...]]:
    found = []
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if len(parts) != n or not all(part.isdecimal() for part in parts):
            raise UserError(f"'{file}', line {number}: '{line[:40]}'; expected {n} whole number{'s' * (n > 1)}")
        found.append(tuple(map(int, parts)))
    return found
