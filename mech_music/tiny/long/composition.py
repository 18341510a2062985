"""Pieces with planted form: four, five or six sections of eight beats, a melody over a bass.

A section is new, an exact return, a transposed return (in the piece's other key), a re-orchestrated one (the piece's
other instrument), or a decoy: an earlier section's harmony, rhythm and timbre with another melody. What identifies a
section is its melody, which is as random as the scale allows; everything else says as little as possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from jaxtyping import Int

from mech_music.structure.pieces.annotated import Kind, Section
from mech_music.tiny.long import forms
from mech_music.tiny.long.forms import BLIND, CUED, FREE, HINTED, REGIMES, TOLD, TOLD_FORMS, Plan

FRAMES = 320
FRAME_RATE = 12.5
BEATS = 8
CADENCE_BEATS = 2
"""Of a section."""
BEAT_FRAMES = {"slow": 10, "medium": 8, "fast": 6}
INSTRUMENTS = ("guitar", "piano", "trumpet", "violin")
HELD_OUT = 1_000_000
"""Pieces have numbers; no model is trained on those from here on."""

_KEYS = (57, 62)  # A and D: either is a fourth from the other, so that two keys are enough for transposed returns
_SCALE = (0, 2, 4, 7, 9)
_STEPS = 8  # of the scale, from the tonic
_CHORDS = (0, 5, 9)
_TONIC, _DOMINANT = 0, 7
_RHYTHMS = ("11211111", "11111121", "12111211", "11121111", "11211121", "21112111")
"""Notes of each beat."""


@dataclass(frozen=True)
class Music:
    """What sounds in a section, cadence apart: roots of the chords of its first three pairs of beats, in semitones from
    the key; how many notes a beat has; the melody in steps of the scale."""

    chords: tuple[int, ...]
    rhythm: str
    melody: tuple[int, ...]
    key: int
    instrument: str

    def pitch(self, step: int) -> int:
        """MIDI pitch of a step of the scale."""
        octave, place = divmod(step, len(_SCALE))
        return self.key + 12 * octave + _SCALE[place]


@dataclass(frozen=True)
class Placed:
    """A section at its place: its music, its cadence, and what it is. ``source``: the section it is like."""

    music: Music
    open: bool
    letter: str
    kind: Kind
    source: int | None = None

    def root(self, beat: int) -> int:
        """The chord's root at a beat, in semitones from the key; the last two beats are the cadence."""
        last = _DOMINANT if self.open else _TONIC
        return last if beat >= BEATS - CADENCE_BEATS else self.music.chords[beat // 2]


@dataclass(frozen=True)
class Piece:
    """``instrument``: that of the first section, which the prompt names. ``form``: a letter for each section that the
    prompt announces, or the prompt's word in their place."""

    number: int
    regime: str
    tempo: str
    instrument: str
    form: str
    sections: tuple[Placed, ...]

    @property
    def prompt(self) -> str:
        told = said([self.form.index(letter) for letter in self.form]) if self.regime == TOLD else self.form
        return prompt_of(self.tempo, self.instrument, told)

    @property
    def first_prompt(self) -> str:
        """That of training's first stages, where a form is one word."""
        return f"A {self.tempo} {self.instrument} piece in {self.form} form."

    @property
    def beat(self) -> int:
        """Frames of a beat."""
        return BEAT_FRAMES[self.tempo]

    @property
    def beats(self) -> tuple[int, ...]:
        """The frames at which beats begin."""
        return tuple(range(0, len(self.sections) * BEATS * self.beat, self.beat))

    @property
    def annotated(self) -> tuple[Section, ...]:
        """Where the sections lie and what they are; after them a fast piece has a coda, which is none."""
        size, found = BEATS * self.beat, []
        for at, one in enumerate(self.sections):
            shift = 0 if one.source is None else one.music.key - self.sections[one.source].music.key
            cadence = CADENCE_BEATS * self.beat
            found.append(Section(at * size, (at + 1) * size, one.kind, one.source, shift, cadence))
        return tuple(found)


def prompt_of(tempo: str, instrument: str, told: str) -> str:
    """``told``: `said`, or the word of pieces whose form is not told."""
    return f"A {tempo} {instrument} piece: {told}"


def said(like: Sequence[int]) -> str:
    """A word for each section: its number, and that of the section which it is (itself: a new one), from 1 on."""
    return " ".join(f"{place}={source + 1}" for place, source in enumerate(like, 1))


@dataclass(frozen=True)
class Asked:
    """What a piece must be; None: chance decides."""

    regime: str | None = None
    tempo: str | None = None
    instrument: str | None = None
    form: str | None = None


def n_sections(tempo: str) -> int:
    """Whole sections that a piece has."""
    return FRAMES // (BEATS * BEAT_FRAMES[tempo])


def compose(number: int, asked: Asked | None = None) -> Piece:
    """Piece ``number`` of the one endless corpus: regime, tempo and instrument are independent and uniform.

    KeyError or ValueError for words that there are not.
    """
    asked, random = asked or Asked(), Random(f"planted form/{number}")
    drawn = Asked(random.choice(REGIMES), random.choice(list(BEAT_FRAMES)), random.choice(INSTRUMENTS))
    regime, tempo = asked.regime or drawn.regime, asked.tempo or drawn.tempo
    instrument = asked.instrument or drawn.instrument
    assert regime and tempo and instrument
    form = asked.form or {HINTED: CUED, BLIND: FREE}.get(regime) or random.choice(TOLD_FORMS)
    if regime == TOLD:
        plans = forms.told(form[: n_sections(tempo)], random)
    else:
        plans = forms.untold(n_sections(tempo), regime == HINTED, random)
    instruments = (instrument, random.choice([one for one in INSTRUMENTS if one != instrument]))
    return Piece(number, regime, tempo, instrument, form, _fill(plans, instruments, random))


def _fill(plans: Sequence[Plan], instruments: tuple[str, str], random: Random) -> tuple[Placed, ...]:
    """Music for every section. A return that sounds as an earlier section does is an exact one of that section."""
    placed: list[Placed] = []
    for at, plan in enumerate(plans):
        if plan.root is None:
            music = new_music(random.choice(_KEYS), instruments[at > 0 and random.random() < 0.3], random)
        else:
            music = _made_from(placed[plan.root].music, plan.kind, instruments, random)
        same = next((number for number, one in enumerate(placed) if one.music == music), None)
        kind, source = (plan.kind, plan.root) if same is None else (Kind.exact, same)
        placed.append(Placed(music, plan.open, plan.letter, kind, source))
    return tuple(placed)


def new_music(key: int, instrument: str, random: Random) -> Music:
    """A section of its own."""
    rhythm = random.choice(_RHYTHMS)
    chords = (_TONIC, random.choice(_CHORDS), random.choice(_CHORDS))
    return Music(chords, rhythm, _melody(rhythm, random), key, instrument)


def _made_from(source: Music, kind: Kind, instruments: tuple[str, str], random: Random) -> Music:
    if kind is Kind.transposed:
        return replace(source, key=sum(_KEYS) - source.key)
    if kind is Kind.reorchestrated:
        return replace(source, instrument=instruments[source.instrument == instruments[0]])
    if kind is Kind.decoy:
        return decoy_of(source, random)
    return source


def decoy_of(source: Music, random: Random) -> Music:
    """The same harmony, rhythm and timbre with a melody of its own."""
    return replace(source, melody=_melody(source.rhythm, random))


def _melody(rhythm: str, random: Random) -> tuple[int, ...]:
    """Every step of the scale is as likely as any other, but for the one before: log 7 nats a note."""
    line = [random.randrange(_STEPS)]
    for _ in range(sum(map(int, rhythm)) - 1):
        line.append(random.choice([step for step in range(_STEPS) if step != line[-1]]))
    return tuple(line)


def truth(piece: Piece) -> dict[str, Int[np.ndarray, " frame"]]:
    """What is so at every frame; −1 where nothing is (in the coda).

    ``section``: its number; ``kind``: its index in `Kind`; ``lag``: frames back to its source, 0 for none; ``beat``:
    within the section; ``chord``: MIDI pitch class of the root; ``melody``: MIDI pitch; ``onset``: 1 where a note of
    the melody begins; ``cadence``: 1 in the last two beats of a section, whose bass is not that of its source.
    """
    names = ("section", "kind", "lag", "beat", "chord", "melody", "onset", "cadence")
    found = {name: np.full(FRAMES, -1) for name in names}
    for number, (section, one) in enumerate(zip(piece.annotated, piece.sections, strict=True)):
        here = slice(section.start, section.end)
        found["section"][here] = number
        found["kind"][here] = list(Kind).index(one.kind)
        found["lag"][here] = 0 if section.source is None else section.start - piece.annotated[section.source].start
        for beat in range(BEATS):
            there = slice(section.start + beat * piece.beat, section.start + (beat + 1) * piece.beat)
            found["beat"][there] = beat
            found["chord"][there] = (one.music.key + one.root(beat)) % 12
            found["cadence"][there] = beat >= BEATS - CADENCE_BEATS
        found["onset"][here] = 0
        for start, frames, midi in melody_notes(one.music, piece.beat):
            found["melody"][section.start + start : section.start + start + frames] = midi
            found["onset"][section.start + start] = 1
    return found


def melody_notes(music: Music, beat: int) -> list[tuple[int, int, int]]:
    """(first frame within the section, frames, MIDI pitch) of every note, for beats of ``beat`` frames."""
    notes, line = [], iter(music.melody)
    for at, count in enumerate(map(int, music.rhythm)):
        for part in range(count):
            notes.append((at * beat + part * beat // count, beat // count, music.pitch(next(line))))
    return notes
