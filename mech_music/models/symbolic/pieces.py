"""Planted pieces: sixteen bars of a melody and a bass, of which everything is known beforehand.

Four sections of four bars. A later section is *new*, an exact *return* of an earlier one, a *transposed* return, or a
*decoy*: the harmony and the rhythm of an earlier section with another melody. Its form is *told* by the prompt (the
letters), *cued* (returns, and only they, follow an open cadence), or *free*: a coin decides cadences and forms, so
whatever seems to announce a return there is a false positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from mech_music.models.symbolic.attributes import ATTRIBUTES, KEYS
from mech_music.models.symbolic.forms import CUED, FREE, N_SECTIONS, TOLD
from mech_music.models.symbolic.notes import Grid, Note, Track

MELODY, BASS = 0, 1
SECTION_BARS = 4
GRID = Grid(
    bars=N_SECTIONS * SECTION_BARS,
    positions=8,
    longest=8,
    tracks=(Track("melody", 31, 97, "piano"), Track("bass", 20, 59, "bass")),
)
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_TONIC = {"low": 48, "high": 72}  # of the melody, in C
_STEPS = range(-3, 9)  # of the scale, counted from the tonic, that a melody has
_SHIFTS = (-5, -3, -2, 2, 3, 5)  # semitones of a transposed return
_RHYTHMS = {
    ("four-four", "dense"): ("11111111", "11101111", "11111110", "11011111", "10111111", "11110111"),
    ("four-four", "sparse"): ("10001000", "10000010", "10001010", "10100000", "10010000", "10000100"),
    ("three-four", "dense"): ("111111", "110111", "111101", "111110", "101111", "111011"),
    ("three-four", "sparse"): ("100000", "100010", "101000", "100100"),
}
"""Onsets of the melody, by eighth."""
_BASS = {
    ("four-four", "dense"): (0, 4), ("four-four", "sparse"): (0,),
    ("three-four", "dense"): (0, 2), ("three-four", "sparse"): (0,),
}  # fmt: skip


class Kind(StrEnum):
    """What a section is to an earlier one."""

    new = "new"
    exact = "exact"
    transposed = "transposed"
    decoy = "decoy"


_CHANCES = {Kind.new: 0.25, Kind.exact: 0.3, Kind.transposed: 0.25, Kind.decoy: 0.2}


@dataclass(frozen=True)
class Section:
    """``source``: the number of the earlier section that it is like; None for a new one. ``semitones``: from there.

    ``rewritten``: its last bar is its own, to announce what comes next, or that nothing returns (in cued forms only).
    """

    kind: Kind
    source: int | None = None
    semitones: int = 0
    rewritten: bool = False


@dataclass(frozen=True)
class Piece:
    """Notes, what was asked for, and what each section is. ``regime``: told, cued or free."""

    notes: tuple[Note, ...]
    attributes: Mapping[str, str]
    sections: tuple[Section, ...]

    @property
    def regime(self) -> str:
        form = self.attributes["form"]
        return form if form in (FREE, CUED) else "told"

    def transposed(self, semitones: int) -> Piece:
        """The same piece in another key."""
        key = KEYS[(KEYS.index(self.attributes["key"]) + semitones) % 12]
        notes = tuple(note.moved(semitones) for note in self.notes)
        return replace(self, notes=notes, attributes={**self.attributes, "key": key})

    def section_of(self, bar: int) -> Section:
        """The section that a bar belongs to."""
        return self.sections[bar // SECTION_BARS]

    def kind_of(self, bar: int) -> Kind:
        """What a bar is; the last bar of a return that announces something else is new."""
        section = self.section_of(bar)
        return Kind.new if section.rewritten and bar % SECTION_BARS == SECTION_BARS - 1 else section.kind

    def source_of(self, bar: int) -> int | None:
        """The bar that a bar repeats or is a decoy of, None for new ones."""
        source = self.section_of(bar).source
        return None if source is None or self.kind_of(bar) is Kind.new else source * SECTION_BARS + bar % SECTION_BARS


@dataclass(frozen=True)
class _Music:
    """A section before it has a place: chords (steps of the scale) and rhythms of its bars, and melody by bar."""

    chords: tuple[int, ...]
    rhythms: tuple[str, ...]
    melody: tuple[tuple[int, ...], ...]  # steps of the scale
    semitones: int = 0


def compose(seed: int, index: int, asked: Mapping[str, str] | None = None) -> Piece:
    """Piece number ``index`` of the endless corpus of ``seed``: attributes independent and uniform, unless asked for.

    Of the forms, a third of the pieces is told one. KeyError or ValueError for an attribute that does not exist.
    """
    random = Random(f"{seed}/{index}")
    values = {name: random.choice(words) for name, words in ATTRIBUTES.items()}
    values["form"] = random.choice([FREE, CUED, random.choice(TOLD)])
    values |= asked or {}
    return _Composer(random, values).piece()


class _Composer:
    def __init__(self, random: Random, values: Mapping[str, str]) -> None:
        self.random, self.values = random, dict(values)
        self.kind = (self.values["metre"], self.values["density"])
        self.scale = _SCALES[self.values["mode"]]
        self.positions = len(_RHYTHMS[self.kind][0])

    def piece(self) -> Piece:
        sections, music = self._plan(), list[_Music]()
        for at in range(N_SECTIONS):
            music.append(self._music(sections[at], music))
            if self.values["form"] == CUED and at + 1 < N_SECTIONS:
                cadence = self._cadence(music[at], sections[at + 1].kind)
                sections[at] = replace(sections[at], rewritten=cadence != music[at])
                music[at] = cadence
        notes = sorted(note for at, one in enumerate(music) for note in self._notes(one, at * SECTION_BARS))
        in_c = Piece(tuple(notes), {**self.values, "key": "C"}, tuple(sections))
        return in_c.transposed((KEYS.index(self.values["key"]) + 6) % 12 - 6)

    # -- what the sections are -----------------------------------------------------------------------------

    def _plan(self) -> list[Section]:
        sections, form = [Section(Kind.new)], self.values["form"]
        for at in range(1, N_SECTIONS):
            if form in (FREE, CUED):
                (kind,) = self.random.choices(list(_CHANCES), list(_CHANCES.values()))
                source = None if kind is Kind.new else self.random.randrange(at)
            elif (first := form.index(form[at])) < at:
                kind, source = self.random.choice((Kind.exact, Kind.transposed)), first
            else:
                kind = self.random.choice((Kind.new, Kind.decoy))
                source = self.random.randrange(at) if kind is Kind.decoy else None
            semitones = self.random.choice(_SHIFTS) if kind is Kind.transposed else 0
            sections.append(Section(kind, source, semitones))
        return [self._rooted(sections, section) for section in sections]

    def _rooted(self, sections: Sequence[Section], section: Section) -> Section:
        """A return of a transposed return is one of its source as well, so that no melody leaves its range."""
        while section.source is not None and sections[section.source].kind in (Kind.exact, Kind.transposed):
            section = replace(section, source=sections[section.source].source)
        return section

    # -- what is in them -----------------------------------------------------------------------------------

    def _music(self, section: Section, earlier: Sequence[_Music]) -> _Music:
        if section.source is None:
            chords = (0, *self.random.choices((1, 3, 4, 5), k=SECTION_BARS - 2), self.random.choice((0, 4)))
            rhythms = tuple(self.random.choices(_RHYTHMS[self.kind], k=SECTION_BARS))
            return _Music(chords, rhythms, self._melody(chords, rhythms))
        source = earlier[section.source]
        if section.kind is Kind.decoy:
            return replace(source, melody=self._melody(source.chords, source.rhythms), semitones=0)
        return replace(source, semitones=section.semitones)

    def _melody(self, chords: Sequence[int], rhythms: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Bars begin on a chord tone and go on by steps and thirds, at random."""
        bars, last = [], self.random.randrange(6)
        for chord, rhythm in zip(chords, rhythms, strict=True):
            tones = [step for step in _STEPS if (step - chord) % 7 in (0, 2, 4)]
            near = sorted(tones, key=lambda tone: (abs(tone - last), tone))[:3]
            line = [self.random.choice(near)]
            for _ in range(rhythm.count("1") - 1):
                moves = [m for m in (-2, -1, 1, 2, 0, -3, 3) if line[-1] + m in _STEPS]
                line.append(line[-1] + self.random.choice(moves))
            bars.append(tuple(line))
            last = line[-1]
        return tuple(bars)

    def _cadence(self, music: _Music, after: Kind) -> _Music:
        """The section with its last bar open before a return, else closed; nothing else is changed."""
        chord = 4 if after in (Kind.exact, Kind.transposed) else 0
        if music.chords[-1] == chord:
            return music
        last = self._melody((chord,), music.rhythms[-1:])
        return replace(music, chords=(*music.chords[:-1], chord), melody=(*music.melody[:-1], *last))

    # -- notes ---------------------------------------------------------------------------------------------

    def _pitch(self, step: int, tonic: int) -> int:
        octave, place = divmod(step, 7)
        return tonic + 12 * octave + self.scale[place]

    def _notes(self, music: _Music, first: int) -> list[Note]:
        notes, tonic = [], _TONIC[self.values["register"]]
        for at, (chord, rhythm, line) in enumerate(zip(music.chords, music.rhythms, music.melody, strict=True)):
            onsets = [place for place, mark in enumerate(rhythm) if mark == "1"]
            ends = [*onsets[1:], self.positions]
            for onset, end, step in zip(onsets, ends, line, strict=True):
                notes.append(Note(first + at, onset, MELODY, self._pitch(step, tonic), end - onset))
            root = 31 + (self._pitch(chord, 0) - 31) % 12
            onsets = _BASS[self.kind]
            for number, (onset, end) in enumerate(zip(onsets, (*onsets[1:], self.positions), strict=True)):
                notes.append(Note(first + at, onset, BASS, root + 7 * number, end - onset))
        return [note.moved(music.semitones) for note in notes]
