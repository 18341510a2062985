"""What the last moments sound like: columns of a control that knows the surface of the music and no more."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
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
_TOKENS = 128  # of notes: how many of a codebook's are counted
Codes = Int[np.ndarray, "codebook frame"]


def acoustics(pieces: Sequence[AnnotatedPiece], generator: Generator, window: int) -> Float[np.ndarray, "beat column"]:
    """Of each beat of each piece what the ``window`` frames and the one beat before it sound like.

    Of sound that a codec renders: 32 mel bands (log), 12 pitch classes, level (dB). Of notes: how often each token of
    each codebook occurs, so pitches, lengths and places. Nothing from the beat on has a part in it: the frames before
    are rendered by themselves, because a codec's sound of one frame depends on the frames behind it.
    """
    found = []
    for piece in pieces:
        last = [frame - piece.beats[max(0, bisect_left(piece.beats, frame) - 1)] for frame in piece.beats]
        heard = [piece.codes[:, max(0, frame - window) : frame] for frame in piece.beats]
        if isinstance(generator, SymbolicGenerator):
            found += [_of_notes(codes, n) for codes, n in zip(heard, last, strict=True)]
        else:
            sounds = _rendered(heard, generator)
            rate, per_frame = generator.sample_rate, generator.sample_rate / generator.frame_rate
            found += [_of_sound(sound, round(n * per_frame), rate) for sound, n in zip(sounds, last, strict=True)]
    width = max(map(len, found))  # pieces of few tokens have no columns for the others
    return np.stack([np.pad(one, (0, width - len(one))) for one in found])


def _of_notes(codes: Codes, last: int) -> Float[np.ndarray, " column"]:
    """Of all frames and of the ``last`` ones."""
    spans = codes, codes[:, max(0, codes.shape[1] - last) :]
    counts = [np.bincount(own, minlength=_TOKENS)[:_TOKENS] for span in spans for own in span]
    return np.concatenate(counts).astype(float)


def _rendered(heard: Sequence[Codes], generator: Generator) -> list[Float[Tensor, " sample"]]:
    """The sound of each, one after the other; those of one length in one batch. Of no frames there is none."""
    found = [torch.zeros(0)] * len(heard)
    for length in {codes.shape[1] for codes in heard} - {0}:
        at = [number for number, codes in enumerate(heard) if codes.shape[1] == length]
        batch = torch.from_numpy(np.stack([heard[number] for number in at])).to(generator.device)
        for number, audio in zip(at, generator.to_audio(batch).float().cpu(), strict=True):
            found[number] = audio
    return found


def _of_sound(audio: Float[Tensor, " sample"], last: int, rate: int) -> Float[np.ndarray, " column"]:
    """Of all samples and of the ``last`` ones."""
    mel, chroma, power = _spectra(audio, rate)
    found = []
    for n in (len(audio), last):
        at = slice(max(0, len(power) - 1 - n // _HOP), None)
        level = 10 * np.log10(power[at].mean(keepdims=True) + _FLOOR)
        bands, classes = mel[at].mean(0), chroma[at].sum(0)
        found += [np.log(bands + _FLOOR), classes / (classes.sum() + _FLOOR), level]
    return np.concatenate(found)


def _spectra(audio: Float[Tensor, " sample"], rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``[time, mel]``, ``[time, class]``, ``[time]``: power in bands, in pitch classes, and in all.

    The last spectrum ends with the last sample; silence is before the first.
    """
    bands, classes = _bands(rate)
    size = 2 * (len(bands) - 1)
    before = torch.nn.functional.pad(audio, (size + -len(audio) % _HOP, 0))
    window = torch.hann_window(size)
    found = torch.stft(before, size, _HOP, window=window, center=False, return_complex=True).abs().square().T
    return (found @ bands).numpy(), (found @ classes).numpy(), found.mean(1).numpy()


@lru_cache(maxsize=2)
def _bands(rate: int) -> tuple[Float[Tensor, "bin mel"], Float[Tensor, "bin class"]]:
    """What each bin of a spectrum adds to mel bands and to pitch classes."""
    from torchaudio.functional import melscale_fbanks

    size = 2 ** round(math.log2(_WINDOW * rate))
    bands = melscale_fbanks(size // 2 + 1, 40.0, rate / 2, _MELS, rate)
    frequencies = torch.arange(size // 2 + 1) * rate / size
    pitch = (69 + 12 * torch.log2(frequencies.clamp(min=_LOWEST) / 440)).round().long() % 12
    classes = torch.nn.functional.one_hot(pitch, 12).float() * (frequencies >= _LOWEST)[:, None]
    return bands, classes
