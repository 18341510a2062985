"""The full arrangement of a song, from the MIDI file of the dataset itself (repository POP909-Dataset).

Its bar lines are not those of the annotated text files: where the first bar stands is found by the melody, which both
have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from mech_music.base.errors import UserError, first_line
from mech_music.structure.pieces.pop909.songs import SIXTEENTHS, Song, Sounding
from mech_music.structure.pieces.pop909.sound import Played, render

_VOICES = {"MELODY": ("flute", 0.45), "BRIDGE": ("electric piano", 0.3), "PIANO": ("piano", 0.2)}
_LEAST_MET = 0.5  # share of the melody's notes that have to be found


class NotAligned(UserError):
    """A MIDI file whose melody is not that of the annotation, at whatever offset: another song, or one that was cut."""


def read_midi(file: Path) -> Mapping[str, list[Sounding]]:
    """The notes of each named track, in ticks; ``ticks``: of a beat. UserError for what is no MIDI file."""
    try:
        import mido  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("MIDI files need the package mido: install it with pip install mido") from None
    try:
        read = mido.MidiFile(file)
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"'{file}' is no MIDI file ({first_line(error)}): fetch it again") from None
    found: dict[str, list[Sounding]] = {"ticks": [Sounding(0, read.ticks_per_beat, 0)]}
    for track in read.tracks:
        notes, open_notes, now = [], {}, 0
        for message in track:
            now += message.time
            if message.type == "note_on" and message.velocity:
                open_notes.setdefault(message.note, now)
            elif message.type in ("note_on", "note_off") and message.note in open_notes:
                start = open_notes.pop(message.note)
                notes.append(Sounding(start, max(1, now - start), message.note))
        if notes:
            found[track.name.strip().upper()] = notes
    return found


def arrangement(song: Song, file: Path) -> Float32[np.ndarray, " sample"]:
    """All tracks of a song's MIDI file as sound, at the song's tempo; bar 0 of the annotation begins at 0 s.

    `NotAligned` for a file in which fewer than half of the annotated melody's notes are found at one offset.
    """
    tracks = dict(read_midi(file))
    tick = tracks.pop("ticks")[0].length / SIXTEENTHS  # of a sixteenth
    if "MELODY" not in tracks:
        raise UserError(f"'{file}' has no track MELODY: expected a file of the repository POP909-Dataset")
    own = {(note.start, note.pitch) for note in song.melody}
    starts = [(round(note.start / tick), note.pitch) for note in tracks["MELODY"]]
    by_pitch: dict[int, list[int]] = {}
    for start, pitch in own:
        by_pitch.setdefault(pitch, []).append(start)
    shifts = Counter(at - start for at, pitch in starts for start in by_pitch.get(pitch, ()))
    shift, met = min(shifts.items(), key=lambda one: (-one[1], one[0])) if shifts else (0, 0)
    if met < _LEAST_MET * min(len(own), len(starts)):
        raise NotAligned(f"'{file}' has {met} of the {len(own)} notes of '{song.name}' where they should be")
    each = 60 / song.tempo / SIXTEENTHS
    played = [
        Played((note.start / tick - shift) * each, note.length / tick * each, note.pitch, *_VOICES[name])
        for name, notes in tracks.items()
        if name in _VOICES
        for note in notes
    ]
    return render(played, song.bars * song.bar_seconds)
