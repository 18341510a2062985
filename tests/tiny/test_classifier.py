"""Tiny's listener: shapes, windows, independence of batch neighbours, its id, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mech_music.base.errors import UserError
from mech_music.listeners.classifier import Classifier, classifier_id, load_classifier
from mech_music.tiny import classifier as training
from mech_music.tiny import data
from mech_music.tiny.synth import Clip


@pytest.fixture(scope="module")
def listener(finished: Path) -> Classifier:
    return load_classifier("tiny", str(finished / "bundle"))


def clips(n: int, samples: int = 64_000) -> torch.Tensor:
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(0))


def test_logits_do_not_depend_on_batch_neighbours(listener: Classifier) -> None:
    audio = clips(5)
    together = listener.logits(audio, 16_000)
    assert together.shape == (5, 527) and not together.requires_grad
    for row in range(5):
        torch.testing.assert_close(listener.logits(audio[row : row + 1], 16_000)[0], together[row])
    torch.testing.assert_close(listener.logits(audio.flip(0), 16_000).flip(0), together)


def test_long_clips_are_heard_in_windows_and_short_ones_as_they_are(listener: Classifier) -> None:
    assert listener.logits(clips(2, 100_000), 16_000).shape == (2, 527)
    assert listener.logits(clips(2, 16_000), 16_000).shape == (2, 527)
    with pytest.raises(ValueError, match=r"at least 0\.1"):
        listener.logits(clips(1, 800), 16_000)


def test_audio_at_another_rate_is_resampled(listener: Classifier) -> None:
    time = torch.arange(128_000) / 32_000
    tone = 0.3 * torch.sin(2 * torch.pi * 440.0 * time)[None]
    torch.testing.assert_close(
        listener.logits(tone, 32_000), listener.logits(tone[:, ::2], 16_000), atol=0.02, rtol=0.02
    )


def test_audio_of_the_wrong_shape_is_refused(listener: Classifier) -> None:
    with pytest.raises(ValueError, match=r"\[clip, sample\]"):
        listener.logits(clips(1)[0], 16_000)
    with pytest.raises(ValueError, match="sample_rate"):
        listener.logits(clips(1), 0)


def test_the_id_follows_the_files(finished: Path, tmp_path: Path) -> None:
    bundle = finished / "bundle"
    (tmp_path / "classifier.json").write_text((bundle / "classifier.json").read_text())
    weights = load_file(bundle / "classifier.safetensors")
    weights["wrapper.net.cls_token"] += 1.0
    save_file(weights, tmp_path / "classifier.safetensors")
    assert classifier_id("tiny", str(tmp_path)) != classifier_id("tiny", str(bundle))
    assert load_classifier("tiny", str(tmp_path)).logits(clips(1), 16_000).shape == (1, 527)
    del weights["wrapper.net.cls_token"]
    save_file(weights, tmp_path / "classifier.safetensors")
    with pytest.raises(UserError, match="cls_token is missing"):
        load_classifier("tiny", str(tmp_path))


def test_what_cannot_be_loaded_is_refused_in_one_line(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no classifier in .*classifier\.json is missing"):
        classifier_id("tiny", str(tmp_path))
    (tmp_path / "classifier.json").write_text("{}")
    (tmp_path / "classifier.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="no readable classifier in"):
        load_classifier("tiny", str(tmp_path))


def test_targets_are_distributions_led_by_instrument_and_genre() -> None:
    wanted = training.target(Clip("happy", "electronic", "piano", "slow", 0))
    assert wanted.sum() == pytest.approx(1.0) and wanted.min() > 0
    assert set(np.argsort(wanted)[-2:]) == {data.labels_of("instrument", "piano")[0], data.labels_of("genre", "EDM")[0]}
    related = [*data.labels_of("instrument", "piano")[1:], *data.labels_of("genre", "EDM")[1:]]
    assert wanted[related].min() > 10 * wanted[data.labels_of("instrument", "violin")[0]]
    assert data.group_labels("genre")[data.GENRES.index("EDM")] == 245
