"""Which of some tempi a clip is played at, from when its sounds begin; nothing is trained and nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.base.errors import UserError

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.listeners.protocol import Clips

_VERSION = 1  # raise it when a change of this code changes a reading
_HOP, _WINDOW = 0.01, 0.04  # seconds
_BEATS = (0.5, 1.0, 2.0)  # a tempo's onsets repeat at its beat, at half of it, and every two beats
_WITHIN = np.linspace(0.96, 1.04, 9)  # of a beat: players are not exact
# Turns correlations into logits: of the least cross-entropy on 250 unedited clips of the bundled model.
_SHARPNESS = 43.0


class Tempo:
    """``logits [class]``, one class a tempo, ``classes`` giving its beats a minute.

    A logit is the autocorrelation of the clip's onsets (the rise of its log spectrum, summed over frequencies), 1 at
    lag 0, averaged over lags of half a beat, one and two. Tempi of which one is twice another can hardly be told apart.
    A clip without onsets gives the same logit to all. UserError for tempi that are not above 0.
    """

    in_background = True

    def __init__(self, classes: Mapping[str, float]) -> None:
        if wrong := [name for name, bpm in classes.items() if not (math.isfinite(bpm) and bpm > 0)]:
            raise UserError(f"tempo '{wrong[0]}': {classes[wrong[0]]:g} beats a minute; expected a number above 0")
        self.tempi = tuple(float(bpm) for bpm in classes.values())
        self.id = f"tempo {_VERSION} {self.tempi}"

    @classmethod
    def from_run(cls, run: RunConfig, classes: Mapping[str, Any]) -> Self:
        """The same for every run."""
        return cls({name: float(bpm) for name, bpm in classes.items()})

    def load(self) -> None:
        """There is nothing to load."""

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip class"]]:
        """A logit for each tempo, clip by clip: the last bits of one must not depend on the others."""
        found = [self.logits(clip[None], clips.sample_rate)[0] for clip in clips.audio.float().cpu()]
        return {"logits": np.stack(found)}

    def logits(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float32[np.ndarray, "clip class"]:
        """A logit for each tempo."""
        likeness = _autocorrelation(_onsets(audio, sample_rate))
        return (_SHARPNESS * np.stack([_at(likeness, bpm) for bpm in self.tempi], axis=1)).astype(np.float32)


def _onsets(audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[np.ndarray, "clip frame"]:
    """How much louder each moment is than the one before, summed over frequencies, 100 times a second."""
    hop, window = round(_HOP * sample_rate), round(_WINDOW * sample_rate)
    shape = torch.hann_window(window, device=audio.device)
    padded = torch.nn.functional.pad(audio, (window, window))
    spectrum = torch.stft(padded, window, hop, window=shape, center=False, return_complex=True).abs()
    level = torch.log1p(100 * spectrum / spectrum.amax((1, 2), keepdim=True).clamp(min=1e-8))
    return level.diff(dim=-1).clamp(min=0).mean(1).cpu().double().numpy()


def _autocorrelation(onsets: Float[np.ndarray, "clip frame"]) -> Float[np.ndarray, "clip lag"]:
    """1 at lag 0; 0 throughout where there are no onsets. Long lags, which fewer moments speak for, count less."""
    n = onsets.shape[1]
    spectrum = np.fft.rfft(onsets - onsets.mean(1, keepdims=True), 2 * n)
    products = np.fft.irfft(np.abs(spectrum) ** 2, 2 * n)[:, :n]
    return products / np.maximum(products[:, :1], 1e-12)


def _at(likeness: Float[np.ndarray, "clip lag"], bpm: float) -> Float[np.ndarray, " clip"]:
    """The likeness at a tempo's lags, the best within a few hundredths of its beat; lags beyond a clip count 0."""
    lags = np.outer(_WITHIN, _BEATS) * 60.0 / bpm / _HOP
    places = np.arange(likeness.shape[1])
    found = np.stack([np.interp(lags.ravel(), places, clip, right=0.0) for clip in likeness])
    return found.reshape(len(likeness), *lags.shape).mean(-1).max(-1)
