"""From a feature's time course in a clip to numbers that tell clips apart: what becomes of time is a declared choice.

A clip's mean tells little of when a feature fires; a tempo is when. ``pulse`` is the autocorrelation of the time course
at half a beat, one and two beats of a tempo (as `mech_music.listeners.tempo` has it of onsets in the sound), for each
of `TEMPI`: a grid that knows nothing of a prompt set's words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

Course = Float32[Tensor, "step feature"]
Pooled = Float32[Tensor, " feature"]
TEMPI = tuple(50.0 * 2 ** (eighth / 8) for eighth in range(17))
"""Beats a minute, 50 to 200, each 9 % above the one before."""
_BEATS = (0.5, 1.0, 2.0)


def onsets(course: Course) -> Pooled:
    """How often it begins to be positive, the first step included."""
    active = course > 0
    return active[0].float() + (active[1:] & ~active[:-1]).float().sum(0)


def autocorrelation(course: Course) -> Float32[Tensor, "lag feature"]:
    """About its mean, 1 at lag 0; 0 throughout for a feature that does not vary.

    Long lags, for which fewer steps speak, count less.
    """
    n = len(course)
    spectrum = torch.fft.rfft(course - course.mean(0), 2 * n, dim=0)
    products = torch.fft.irfft(spectrum.abs().square(), 2 * n, dim=0)[:n]
    return products / products[:1].clamp(min=1e-12)


def pulses(course: Course, frame_rate: float) -> Float32[Tensor, "tempo feature"]:
    """At each of `TEMPI`: interpolated between whole steps; lags beyond the clip count 0."""
    found = torch.cat([autocorrelation(course), torch.zeros(2, course.shape[1], device=course.device)])
    beat = 60.0 * frame_rate / torch.tensor(TEMPI, dtype=torch.float64)
    lags = (beat[:, None] * torch.tensor(_BEATS, dtype=torch.float64)).clamp(max=len(course))
    below = lags.floor().long()
    part = (lags - below).float()[..., None].to(course.device)
    return ((1 - part) * found[below] + part * found[below + 1]).mean(1)


_WAYS: dict[str, Callable[[Course], Pooled]] = {
    "mean": lambda course: course.mean(0),
    "peak": lambda course: course.amax(0),
    "share": lambda course: (course > 0).float().mean(0),
    "spread": lambda course: course.std(0, correction=0),
    "onsets": onsets,
}
"""By name, beside ``pulse``: mean, largest, share of steps in which it is positive, standard deviation, onsets."""
PULSE = "pulse"


def pool(course: Course, names: Sequence[str], frame_rate: float) -> dict[str, Pooled]:
    """Each pooling of a clip by its name; those of ``pulse`` as ``pulse 50`` and so on, in beats a minute."""
    found = {name: _WAYS[name](course) for name in names if name != PULSE}
    if PULSE in names:
        for bpm, own in zip(TEMPI, pulses(course, frame_rate), strict=True):
            found[f"{PULSE} {bpm:.0f}"] = own
    return found
