"""Music made for the tests of proposals, and songs in the format of POP909."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
from jaxtyping import Float32

from mech_music.tiny import synth

SCALE = (0, 2, 4, 5, 7, 9, 11)


def wander(seed: int, seconds: float = 30.0, voice: str = "piano") -> Float32[np.ndarray, " sample"]:
    """A melody and a bass at random, in which nothing returns."""
    random, audio, at, step = Random(f"song {seed}"), np.zeros(int(seconds * synth.SAMPLE_RATE), np.float32), 0.0, 3
    while at < seconds - 1.2:
        step = max(-4, min(10, step + random.choice((-3, -2, -1, 1, 2, 3))))
        octave, place = divmod(step, 7)
        for name, pitch in ((voice, 60 + 12 * octave + SCALE[place]), ("bass", 36 + SCALE[random.randrange(7)])):
            start = int(at * synth.SAMPLE_RATE)
            sound = synth.note(name, pitch, 12)[: len(audio) - start]
            audio[start : start + len(sound)] += 0.45 * sound
        at += random.choice((0.24, 0.24, 0.48))
    return np.tanh(audio)


LABELS = ("i2A4B4A4x1B4o2", "i2A4B4A4B5o2")
_LETTERS = {"A": 1, "B": 2}


def song_folder(place: Path, name: str, labels: tuple[str, str] = LABELS, **files: str) -> Path:
    """A folder in the format of the public one: phrases of one letter have one melody, the second A two semitones
    higher. ``files``: other content, by the file's name without its ending; None for no file."""
    made = _made(labels[0], Random(name)) | {
        "human_label1": labels[0] + "\n",
        "human_label2": labels[1] + "\n",
        **files,
    }
    folder = place / name
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in made.items():
        if text is not None:
            (folder / f"{stem}.txt").write_text(text)
    return folder


def _made(label: str, random: Random) -> dict[str, str]:
    phrases = [(letter, int(bars)) for letter, bars in zip(label[::2], label[1::2], strict=True)]
    lines = {letter: [(60 + random.choice(SCALE), 2) for _ in range(32)] for letter in _LETTERS}
    roots = {letter: [random.choice((0, 5, 7, 9)) for _ in range(8)] for letter in _LETTERS}
    melody, chords, met = [], [], 0
    for letter, bars in phrases:
        up = 2 * (letter == "A" and met) if letter in _LETTERS else 0
        met += letter == "A"
        line = lines.get(letter, [(0, 16)] * bars)
        melody += [(pitch + up if pitch else 0, length) for pitch, length in line[: 8 * bars]]
        for at in range(2 * bars):
            root = (roots.get(letter, [0] * 8)[at % 8] + up) % 12
            chords.append(f"X:maj {[root, (root + 4) % 12, (root + 7) % 12]} {root} 2 ")
    return {
        "melody": "".join(f"{pitch} {length}\n" for pitch, length in melody),
        "finalized_chord": "".join(f"{line}\n" for line in chords),
        "tempo": "120",
    }
