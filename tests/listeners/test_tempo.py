"""Tempi, where the truth is known: clicks, and the bundled model's music as its synthesiser plays it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.config.paths import find_config
from mech_music.listeners.classes import class_names
from mech_music.listeners.registry import open_listener
from mech_music.listeners.tempo import Tempo
from mech_music.tiny import data, synth
from tests.composing import compose_run

TEMPI = {"slow": 60.0, "middling": 90.0, "fast": 140.0}
RATE = 16_000


def clicks(bpm: float, seconds: float = 4.0) -> torch.Tensor:
    """Short tones at every beat."""
    t = np.arange(int(seconds * RATE)) / RATE
    since = t % (60 / bpm)
    return torch.from_numpy((np.sin(2 * np.pi * 800 * t) * np.exp(-since * 40)).astype(np.float32))


@pytest.mark.parametrize(("bpm", "place"), [(60, 0), (58.5, 0), (90, 1), (92, 1), (140, 2), (137, 2)])
def test_clicks_at_a_tempo(bpm: float, place: int) -> None:
    heard = Tempo(TEMPI).logits(clicks(bpm)[None], RATE)[0]
    assert heard.argmax() == place and heard[place] - np.delete(heard, place).max() > 5


def test_music_of_known_tempo() -> None:
    """Clips that no part of the listener was set on: it is calibrated on clips of the language model."""
    clips = [data.clip_at(7, data.HELD_OUT_SEED + number) for number in range(40)]
    listener: Any = open_listener("tempo", compose_run())
    audio = torch.from_numpy(np.stack([synth.render(clip) for clip in clips])).float()
    names = class_names("tempo")
    heard = [names[place] for place in listener.logits(audio, RATE).argmax(1)]
    right = np.mean([word == clip.tempo for word, clip in zip(heard, clips, strict=True)])
    assert right >= 0.85, f"{right:.2f} of 40; by chance .2"


def test_a_clip_is_heard_alone_and_silence_says_nothing() -> None:
    loud, silent = clicks(90), torch.zeros(4 * RATE)
    listener = Tempo(TEMPI)
    clips: Any = SimpleNamespace(audio=torch.stack([loud, silent, 0.01 * loud]), sample_rate=RATE)
    together = listener.read(clips)["logits"]
    alone: Any = SimpleNamespace(audio=loud[None], sample_rate=RATE)
    np.testing.assert_array_equal(together[0], listener.read(alone)["logits"][0])
    np.testing.assert_allclose(together[2], together[0], atol=1e-3)
    assert np.ptp(together[1]) == 0 and np.isfinite(together).all() and together.dtype == np.float32


def test_its_tempi_are_its_name() -> None:
    assert Tempo(TEMPI).id != Tempo(TEMPI | {"fast": 141.0}).id
    assert find_config("listener", "tempo").is_file() and len(class_names("tempo")) == 5
    with pytest.raises(UserError, match="tempo 'fast': 0 beats a minute; expected a number above 0"):
        Tempo(TEMPI | {"fast": 0.0})
