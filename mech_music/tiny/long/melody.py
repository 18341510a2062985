"""Which pitch the melody has at each beat of a sound: linear discriminants on mel spectra of beats that are known."""

from __future__ import annotations

from collections.abc import Sequence

import librosa
import numpy as np
from jaxtyping import Float, Int
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mech_music.tiny.long.composition import BEATS, Piece, truth
from mech_music.tiny.long.sound import FRAME, SAMPLE_RATE

_SHIFTS = (0, 5, -5)
"""Semitones by which a section can return."""


def describe(audio: Float[np.ndarray, " sample"], starts: Sequence[int]) -> Float[np.ndarray, "beat feature"]:
    """Log spectra of the first 3 frames after each of these frames, semitone by semitone."""
    length = 3 * FRAME
    clips = np.stack([audio[at * FRAME : at * FRAME + length] for at in starts])
    power = np.abs(np.fft.rfft(clips * np.hanning(length), axis=1)) ** 2
    bank = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=length, n_mels=96, fmax=5000.0)
    return np.log(power @ bank.T + 1e-3)


class Listener:
    """Hears the melody's pitch at beats; learns from pieces whose sound is as reconstructed as what it will hear."""

    def __init__(self) -> None:
        self.model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")

    def fit(self, pieces: Sequence[Piece], audio: Float[np.ndarray, "piece sample"]) -> Listener:
        """Learn from the first note of every beat."""
        features = np.concatenate([describe(one, piece.beats) for piece, one in zip(pieces, audio, strict=True)])
        self.model.fit(features, np.concatenate([truth(piece)["melody"][list(piece.beats)] for piece in pieces]))
        return self

    def hear(self, piece: Piece, audio: Float[np.ndarray, " sample"]) -> Int[np.ndarray, "section beat"]:
        """MIDI pitches at the beats that a piece of this tempo has."""
        found = self.model.predict(describe(audio, piece.beats))
        return np.asarray(found, dtype=np.int64).reshape(-1, BEATS)


def likeness(one: Int[np.ndarray, " beat"], other: Int[np.ndarray, " beat"]) -> float:
    """The share of beats at which two melodies agree, in the key in which they agree most."""
    return max(float((one == other + shift).mean()) for shift in _SHIFTS)
