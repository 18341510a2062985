"""What the last moments sound like: columns of a control that knows the surface of the music and no more."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.structure.pieces.annotated import AnnotatedPiece

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

_MELS, _HOP = 32, 256
_WINDOW = 0.25  # seconds of a spectrum, about: a semitone of the lowest notes is 4 Hz wide
_LOWEST = 55.0  # Hz: bins below have no pitch class
_FLOOR = 1e-8


def acoustics(pieces: Sequence[AnnotatedPiece], generator: Generator, window: int) -> Float[np.ndarray, "beat column"]:
    """Of each beat of each piece what the ``window`` frames and the one beat before it sound like.

    Of sound that a codec renders: 32 mel bands (log), 12 pitch classes, level (dB). Of notes: how often each token of
    each codebook occurs, so pitches, lengths and places.
    """
    found = []
    for piece in pieces:
        columns = _of_notes(piece) if isinstance(generator, SymbolicGenerator) else _of_sound(piece, generator)
        for frame in piece.beats:
            before = piece.beats[max(0, bisect_left(piece.beats, frame) - 1)]
            spans = (max(0, frame - window), frame), (before, frame)
            found.append(np.concatenate([columns(*span) for span in spans]))
    width = max(map(len, found))  # pieces of few tokens have no columns for the others
    return np.stack([np.pad(one, (0, width - len(one))) for one in found])


Columns = Callable[[int, int], Float[np.ndarray, " column"]]


def _of_notes(piece: AnnotatedPiece) -> Columns:
    sizes = 128
    codes: Int[np.ndarray, "codebook frame"] = piece.codes

    def columns(start: int, end: int) -> Float[np.ndarray, " column"]:
        return np.concatenate([np.bincount(own[start:end], minlength=sizes)[:sizes] for own in codes]).astype(float)

    return columns


def _of_sound(piece: AnnotatedPiece, generator: Generator) -> Columns:
    (audio,) = generator.to_audio(torch.from_numpy(piece.codes)[None].to(generator.device)).float().cpu()
    mel, chroma, power = _spectra(audio, generator.sample_rate)
    per_frame = (len(power) - 1) / piece.n_frames

    def columns(start: int, end: int) -> Float[np.ndarray, " column"]:
        last = round(end * per_frame) + 1
        at = slice(min(round(start * per_frame) + 1, last - 1), last)
        level = 10 * np.log10(power[at].mean(keepdims=True) + _FLOOR)
        bands, classes = mel[at].mean(0), chroma[at].sum(0)
        return np.concatenate([np.log(bands + _FLOOR), classes / (classes.sum() + _FLOOR), level])

    return columns


def _spectra(audio: Float[Tensor, " sample"], rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``[time, mel]``, ``[time, class]``, ``[time]``: power in bands, in pitch classes, and in all.

    The spectrum at time k hears the samples before sample k · hop and none after it: a control must not hear ahead.
    """
    from torchaudio.functional import melscale_fbanks

    size = 2 ** round(math.log2(_WINDOW * rate))
    before = torch.nn.functional.pad(audio, (size, 0))
    window = torch.hann_window(size)
    found = torch.stft(before, size, _HOP, window=window, center=False, return_complex=True).abs().square().T
    bands = melscale_fbanks(size // 2 + 1, 40.0, rate / 2, _MELS, rate)
    frequencies = torch.arange(size // 2 + 1) * rate / size
    pitch = (69 + 12 * torch.log2(frequencies.clamp(min=_LOWEST) / 440)).round().long() % 12
    classes = torch.nn.functional.one_hot(pitch, 12).float() * (frequencies >= _LOWEST)[:, None]
    return (found @ bands).numpy(), (found @ classes).numpy(), found.mean(1).numpy()
