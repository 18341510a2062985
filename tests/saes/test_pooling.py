"""What becomes of time, against the same by hand."""

from __future__ import annotations

import numpy as np
import torch

from mech_music.saes.measured import POOLINGS
from mech_music.saes.pooling import TEMPI, autocorrelation, pool, pulses

RATE = 25.0
COURSE = torch.tensor([[2.0, 0, 1], [0, 0, 1], [0, 0, 1], [3, 0, 1], [1, 0, 1], [0, 0, 1], [4, 0, 1]])


def test_each_pooling_by_hand() -> None:
    found = pool(COURSE, POOLINGS, RATE)
    assert list(found) == [*POOLINGS[:-1], *(f"pulse {bpm:.0f}" for bpm in TEMPI)]
    np.testing.assert_allclose(found["mean"], [10 / 7, 0, 1])
    np.testing.assert_allclose(found["peak"], [4, 0, 1])
    np.testing.assert_allclose(found["share"], [4 / 7, 0, 1])
    np.testing.assert_allclose(found["spread"], [float(np.std([2, 0, 0, 3, 1, 0, 4])), 0.0, 0.0], atol=1e-6)
    assert found["onsets"].tolist() == [3, 0, 1]
    assert list(pool(COURSE, ["peak"], RATE)) == ["peak"]


def test_the_autocorrelation_is_that_of_products() -> None:
    x = COURSE[:, 0].double().numpy()
    x = x - x.mean()
    wanted = [(x[lag:] * x[: len(x) - lag]).sum() / (x**2).sum() for lag in range(len(x))]
    np.testing.assert_allclose(autocorrelation(COURSE)[:, 0], wanted, atol=1e-6)
    assert not autocorrelation(COURSE)[:, 1:].any(), "what does not vary has none"


def test_a_pulse_is_read_at_half_a_beat_one_and_two() -> None:
    course = torch.rand(103, 2, generator=torch.Generator().manual_seed(0))
    likeness = np.concatenate([autocorrelation(course).numpy(), np.zeros((2, 2))])
    for bpm, own in zip(TEMPI, pulses(course, RATE), strict=True):
        lags = [beats * 60 * RATE / bpm for beats in (0.5, 1, 2)]
        wanted = [np.mean([np.interp(lag, np.arange(105), one) for lag in lags]) for one in likeness.T]
        np.testing.assert_allclose(own, wanted, atol=1e-6)
    short = pulses(course[:20], RATE)  # two beats of 50 a minute are 60 steps
    assert short.isfinite().all()
    one = autocorrelation(course[:20])
    np.testing.assert_allclose(short[0], one[15] / 3, atol=1e-6)


def test_tempi_are_told_apart_that_means_do_not_tell() -> None:
    """Pulses of 84 and 100 beats a minute, as loud and as long, at any phase."""
    draw, found = np.random.default_rng(0), []
    for bpm in (TEMPI[6], TEMPI[8]):
        beat = 60 * RATE / bpm
        onset = [np.arange(103) % beat for _ in range(30)]
        clips = [np.maximum(0, 3 - (one + draw.integers(40)) % beat) for one in onset]
        found.append([pool(torch.tensor(clip, dtype=torch.float32)[:, None], POOLINGS, RATE) for clip in clips])
    slow, fast = ([float(clip[f"pulse {TEMPI[6]:.0f}"]) for clip in clips] for clips in found)
    assert min(slow) > max(fast)
