"""What a recording sounds like, frame by frame: its pitch (harmony and melody), and apart from it its texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.fft import dct, rfft

from mech_music.base.errors import UserError

N_CLASSES = 12
_FRAME = 0.04  # seconds
_WINDOW = 0.25  # seconds, rounded up to a power of two of samples
_LOWEST, _HIGHEST = 28, 120  # MIDI pitches of spectral peaks that are kept
_MELODY = (48, 90)  # MIDI pitches of melodies
_PARTIALS = tuple(round(12 * np.log2(h)) for h in range(1, 9))
_DECAY, _SHARPNESS = 0.8, 4.0
_MELS, _CEPSTRA = 40, 12
_DEPTH = 1e-5  # of a frame's greatest band, power
_QUIET = -90.0  # dB of full scale
_BLOCK = 1024  # frames at once


@dataclass(frozen=True)
class Described:
    """A recording's frames, `rate` a second.

    ``chroma``: energy of spectral peaks by pitch class; ``melody``: salience of the predominant pitch, by its class.
    ``timbre``: mel cepstral coefficients 1 to 12, without the 0th, which is loudness; ``loudness``: dB of full scale.
    """

    chroma: Float32[np.ndarray, "frame 12"]
    melody: Float32[np.ndarray, "frame 12"]
    timbre: Float32[np.ndarray, "frame cepstrum"]
    loudness: Float32[np.ndarray, " frame"]
    rate: float = 1 / _FRAME

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return len(self.loudness) / self.rate


def describe(audio: Float[np.ndarray, " sample"], sample_rate: int) -> Described:
    """A recording, mono, within ±1. UserError for one that is empty, or not finite.

    Melody: peaks of the spectrum (parabolic interpolation), weighted sums over eight partials, sharpened so that one
    pitch stands out (harmonic summation as in Salamon and Gómez 2012). The tuning is that of the recording.
    """
    if not len(audio) or not np.isfinite(audio).all():
        raise UserError(f"a recording of {len(audio)} samples that are not all finite has no pitches: mend the file")
    hop, size = round(_FRAME * sample_rate), 1 << int(np.ceil(np.log2(_WINDOW * sample_rate)))
    padded = np.pad(audio.astype(np.float32), (size // 2, size))
    starts = np.arange(-(-len(audio) // hop)) * hop
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    filters = _mel_bands(size // 2 + 1, sample_rate)
    peaks, mels, power = [], [], []
    for first in range(0, len(starts), _BLOCK):
        frames = padded[starts[first : first + _BLOCK, None] + np.arange(size)] * window
        scale = np.float32(2 / window.sum())  # a sine of full scale gives 1
        magnitude = np.abs(np.asarray(rfft(frames, axis=1))) * scale
        peaks.append(_peaks(magnitude, sample_rate / size, first))
        mels.append(magnitude**2 @ filters)
        power.append((frames**2).sum(1) / (window**2).sum())
    spectrum = _by_semitone(np.concatenate(peaks, 1), len(starts))
    bands = np.concatenate(mels)
    floor = _DEPTH * bands.max(1, keepdims=True) + 1e-12  # goes with the frame, so that loudness is no timbre
    cepstra = np.asarray(dct(10 * np.log10(bands + floor), axis=1, norm="ortho"))[:, 1 : _CEPSTRA + 1]
    loudness = np.maximum(10 * np.log10(np.concatenate(power) + 1e-12), _QUIET)
    return Described(
        _folded(spectrum, _LOWEST), _melody(spectrum), cepstra.astype(np.float32), loudness.astype(np.float32)
    )


def _peaks(magnitude: Float[np.ndarray, "frame bin"], bin_hz: float, first: int) -> Float[np.ndarray, "3 peak"]:
    """Frame, MIDI pitch (not rounded) and magnitude of the local maxima of each spectrum."""
    level = np.log(magnitude + 1e-7)
    left, middle, right = level[:, :-2], level[:, 1:-1], level[:, 2:]
    frame, place = ((middle > left) & (middle >= right) & (magnitude[:, 1:-1] > 1e-4)).nonzero()
    below, at, above = left[frame, place], middle[frame, place], right[frame, place]
    offset = 0.5 * (below - above) / (below - 2 * at + above)
    pitch = 69 + 12 * np.log2((place + 1 + offset) * bin_hz / 440)
    kept = (pitch > _LOWEST) & (pitch < _HIGHEST - 1)
    return np.stack([first + frame, pitch, np.exp(at)])[:, kept]


def _by_semitone(peaks: Float[np.ndarray, "3 peak"], n_frames: int) -> Float[np.ndarray, "frame semitone"]:
    """Square roots of peaks' magnitudes, summed by semitone, in the recording's own tuning."""
    frame, pitch, magnitude = peaks
    weight = np.sqrt(magnitude)
    tuning = np.angle((weight * np.exp(2j * np.pi * pitch)).sum()) / (2 * np.pi) if len(pitch) else 0.0
    semitone = np.rint(pitch - tuning).astype(int) - _LOWEST
    n = _HIGHEST - _LOWEST
    flat = np.bincount(frame.astype(int) * n + semitone.clip(0, n - 1), weight, n_frames * n)
    return flat.reshape(n_frames, n)


def _melody(spectrum: Float[np.ndarray, "frame semitone"]) -> Float32[np.ndarray, "frame 12"]:
    low, high = (end - _LOWEST for end in _MELODY)
    padded = np.pad(spectrum, ((0, 0), (0, max(_PARTIALS))))
    partials = [_DECAY**n * padded[:, low + partial : high + partial] for n, partial in enumerate(_PARTIALS)]
    salience = np.sum(partials, axis=0)
    greatest = np.maximum(salience.max(1, keepdims=True), 1e-9)
    return _folded(spectrum[:, low:high].max(1, keepdims=True) * (salience / greatest) ** _SHARPNESS, _MELODY[0])


def _folded(values: Float[np.ndarray, "frame semitone"], lowest: int) -> Float32[np.ndarray, "frame 12"]:
    """Sums over octaves; class 0 is C."""
    first = lowest % N_CLASSES
    padded = np.pad(values, ((0, 0), (first, -(values.shape[1] + first) % N_CLASSES)))
    return padded.reshape(len(values), -1, N_CLASSES).sum(1).astype(np.float32)


def _mel_bands(n_bins: int, sample_rate: int) -> Float32[np.ndarray, "bin mel"]:
    import torchaudio

    return torchaudio.functional.melscale_fbanks(n_bins, 50.0, sample_rate / 2, _MELS, sample_rate).numpy()
