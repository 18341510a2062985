"""A song as sound, by the synthesiser of the bundled models: melody and chords, or the arrangement of a MIDI file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from mech_music.structure.pieces.pop909.songs import SIXTEENTHS, Song
from mech_music.tiny import synth

SAMPLE_RATE = synth.SAMPLE_RATE
_LONGEST = 50  # frames of the synthesiser: fewer different sounds are kept, and a string has died away
_LOWEST_CHORD, _LOWEST_BASS = 48, 33


class Played(NamedTuple):
    """A note in seconds, by a voice of the synthesiser, and how loud."""

    start: float
    seconds: float
    pitch: int
    voice: str
    gain: float


def render(notes: Iterable[Played], seconds: float) -> Float32[np.ndarray, " sample"]:
    """Mono audio within ±1, so many seconds."""
    audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    for note in notes:
        frames = min(max(2, round(note.seconds * SAMPLE_RATE / synth.FRAME)), _LONGEST)
        start = round(note.start * SAMPLE_RATE)
        if 0 <= start < len(audio):
            sound = synth.note(note.voice, note.pitch, frames)[: len(audio) - start]
            audio[start : start + len(sound)] += note.gain * sound
    return np.tanh(audio)


def song_audio(song: Song, melody: str = "piano") -> Float32[np.ndarray, " sample"]:
    """Its melody by the voice ``melody``, over its chords and their roots; bar 0 begins at 0 s."""
    each = 60 / song.tempo / SIXTEENTHS
    played = [Played(n.start * each, n.length * each, n.pitch, melody, 0.5) for n in song.melody]
    for chord in song.chords:
        beats = range(chord.start, chord.start + chord.length, 2 * SIXTEENTHS)
        for start in beats:
            length = min(2 * SIXTEENTHS, chord.start + chord.length - start) * each
            root = _LOWEST_BASS + (chord.root - _LOWEST_BASS) % 12
            if chord.classes:
                played.append(Played(start * each, length, root, "bass", 0.35))
            for one in chord.classes:
                pitch = _LOWEST_CHORD + (one - _LOWEST_CHORD) % 12
                played.append(Played(start * each, length, pitch, "pad", 0.12))
    return render(played, song.bars * song.bar_seconds)
