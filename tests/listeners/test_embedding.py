"""Embeddings: the classifier's features of clips, under an id of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.config.schema import load_classifier_config
from mech_music.listeners.classifier import ClassifierListener, classifier_id, load_classifier
from mech_music.listeners.embedding import Embedding
from mech_music.listeners.passt import PaSST


@dataclass
class Heard:
    """Clips whose sound is there."""

    audio: torch.Tensor
    sample_rate: int = 16_000


@torch.no_grad()
def test_the_bundled_networks_features() -> None:
    listener = Embedding(load_classifier_config("tiny"), "cpu")
    listener.load()
    clips: Any = Heard(torch.randn(3, 32_000, generator=torch.Generator().manual_seed(0)) * 0.1)
    found = listener.read(clips)["embedding"]
    network = load_classifier("tiny")
    assert isinstance(network, PaSST)
    assert found.shape == (3, network.config.width) and found.dtype == np.float32
    head: Any = network.net.head
    torch.testing.assert_close(head(torch.from_numpy(found)), network.logits(clips.audio, 16_000))


def test_its_id_is_the_networks_but_not_the_classifiers() -> None:
    config = load_classifier_config("tiny")
    assert classifier_id(config) in Embedding(config).id != classifier_id(config)


def test_a_network_without_features_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClassifierListener, "classifier", object())
    with pytest.raises(UserError, match=r"classifier 'tiny' has no features\(\)"):
        Embedding(load_classifier_config("tiny")).load()
