"""A further head of the classifier, on music whose mood is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.config.schema import load_classifier_config
from mech_music.listeners.classes import class_names
from mech_music.listeners.head import Head
from mech_music.tiny import data, synth

MOODS = class_names("mood")
TINY = load_classifier_config("tiny")


def test_moods_of_known_music_in_the_order_of_the_classes() -> None:
    clips = [data.clip_at(7, data.HELD_OUT_SEED + number) for number in range(20)]
    audio = torch.from_numpy(np.stack([synth.render(clip) for clip in clips])).float()
    heard: Any = SimpleNamespace(audio=audio, sample_rate=16_000)
    turned = MOODS[::-1]
    for classes in (MOODS, turned):
        logits = Head(TINY, "mood", classes).read(heard)["logits"]
        assert logits.shape == (20, 5)
        assert (
            np.mean([classes[place] == clip.mood for place, clip in zip(logits.argmax(1), clips, strict=True)]) >= 0.9
        )


@pytest.mark.parametrize(("head", "classes", "lacking"), [("mood", (*MOODS, "sad"), "sad"), ("key", ("C", "D"), "C")])
def test_a_classifier_without_the_head_is_refused(head: str, classes: tuple[str, ...], lacking: str) -> None:
    listener = Head(TINY, head, classes)
    with pytest.raises(UserError, match=f"classifier 'tiny' has no head '{head}' that hears '{lacking}'"):
        listener.load()


def test_head_and_classes_are_its_name() -> None:
    ids = {Head(TINY, head, classes).id for head in ("mood", "tempo") for classes in (MOODS, MOODS[::-1])}
    assert len(ids) == 4
