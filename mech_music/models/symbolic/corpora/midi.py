"""A folder of MIDI files, in whatever folders within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mech_music.base.errors import UserError, first_line
from mech_music.base.reading import readable
from mech_music.models.symbolic.corpora.scores import Heard, Reading, Score, files_of, one_metre

_DRUMS = 9  # the tenth channel


def midi(path: str, limit: int) -> Reading:
    """Each file is a piece; drums are left out. ``limit``: 0 for all files."""
    mido = _mido()
    files = files_of(path, "midi", "a folder of MIDI files", (".mid", ".midi"))
    folder = Path(path).expanduser()
    return Reading(*readable(files[: limit or None], lambda file: _score(mido, file, str(file.relative_to(folder)))))


def _mido() -> Any:
    try:
        import mido  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            "corpus=midi is read with the package mido: install it with pip install 'mech_music[midi]'"
        ) from None
    return mido


def _score(mido: Any, file: Path, name: str) -> Score:
    try:
        read = mido.MidiFile(file)
    except Exception as error:  # it raises whatever the first wrong byte leads to
        raise UserError(f"'{name}' is no MIDI file ({first_line(error)}): leave it out") from None
    parts: dict[tuple[int, int], list[Heard]] = {}
    signs = []
    for number, track in enumerate(read.tracks):
        sounding: dict[tuple[int, int], int] = {}
        now = 0
        for message in track:
            now += message.time
            if message.type == "time_signature":
                signs.append((message.numerator, message.denominator))
            elif message.type in ("note_on", "note_off") and message.channel != _DRUMS:
                key = (message.channel, message.note)
                if (start := sounding.pop(key, None)) is not None:
                    length = max(now - start, 1) / read.ticks_per_beat
                    heard = Heard(start / read.ticks_per_beat, length, message.note)
                    parts.setdefault((number, message.channel), []).append(heard)
                if message.type == "note_on" and message.velocity:
                    sounding[key] = now
    if not parts:
        raise UserError(f"'{name}' has no notes: leave it out")
    return Score(name, one_metre(name, signs), tuple(tuple(sorted(part)) for part in parts.values()))
