"""Our AST against transformers' own pipeline, from the files as they are published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.config.schema import load_classifier_config
from mech_music.listeners.classifier import Classifier, classifier_id, label_names, load_classifier
from tests.classifier.made import make_ast, noise

NAMES = label_names()
WINDOW = 400 + 1023 * 160


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ast(tmp_path_factory.mktemp("ast"), NAMES)


@pytest.fixture(scope="module")
def ours(folder: Path) -> Classifier:
    return load_classifier("ast", str(folder))


def theirs(folder: Path, clip: torch.Tensor, rate: int) -> torch.Tensor:
    """The logits of one clip, by name, in AudioSet's order, through ``transformers.pipeline``."""
    with quiet_imports():
        from transformers import pipeline

        pipe = pipeline("audio-classification", model=str(folder), device="cpu")
        heard = pipe({"raw": clip.numpy(), "sampling_rate": rate}, top_k=527, function_to_apply="none")
    scores = {each["label"]: each["score"] for each in heard}
    return torch.tensor([scores[name] for name in NAMES])


@pytest.mark.parametrize(("seconds", "rate"), [(0.1, 16_000), (4.0, 16_000), (4.0, 32_000), (WINDOW / 16_000, 16_000)])
def test_logits_are_those_of_the_pipeline(folder: Path, ours: Classifier, seconds: float, rate: int) -> None:
    audio = noise(2, seconds, rate)
    heard = ours.logits(audio, rate)
    assert (heard[0] - heard[1]).abs().mean() > 1e-3
    for clip, logits in zip(audio, heard, strict=True):
        torch.testing.assert_close(logits, theirs(folder, clip, rate), rtol=1e-4, atol=1e-4)


def test_long_clips_are_averaged_over_windows(folder: Path, ours: Classifier) -> None:
    (clip,) = noise(1, 25.0, 16_000)
    starts = (0, round((len(clip) - WINDOW) / 2), len(clip) - WINDOW)
    parts = torch.stack([theirs(folder, clip[start : start + WINDOW], 16_000) for start in starts])
    torch.testing.assert_close(ours.logits(clip[None], 16_000)[0], parts.mean(0), rtol=1e-4, atol=1e-4)
    assert parts.std(0).mean() > 1e-3


def test_a_clip_does_not_hear_its_neighbours(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ours = load_classifier("ast", str(folder))
    audio = noise(9, 11.0, 16_000)  # 18 windows, more than are heard at once
    together = ours.logits(audio, 16_000)
    assert capfd.readouterr() == ("", "")
    for row in (0, 1, 8):
        torch.testing.assert_close(ours.logits(audio[row : row + 1], 16_000)[0], together[row], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seconds", [4.0, 25.0])
def test_features_are_what_the_head_reads(ours: Classifier, seconds: float) -> None:
    """Before the average over windows: a clip of one window has its logits from them."""
    audio = noise(3, seconds, 16_000)
    network: Any = ours
    features = network.features(audio, 16_000)
    assert features.shape == (3, 16) and features.std(0).mean() > 1e-4
    if seconds < 10:
        torch.testing.assert_close(network.net.classifier(features)[:, network.columns], ours.logits(audio, 16_000))
    alone = torch.cat([network.features(clip[None], 16_000) for clip in audio])
    torch.testing.assert_close(alone, features, rtol=1e-4, atol=1e-5)


def test_classes_in_another_order_are_found_by_name(folder: Path, ours: Classifier, tmp_path: Path) -> None:
    """The same columns, some under exchanged names; whatever is not music has no name here, and only moves along."""
    order = list(range(527))
    order[140], order[153], order[3] = 153, 3, 140
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    rename(mixed, [NAMES[index] for index in order])
    audio = noise(1, 1.0, 16_000)
    heard, plain = load_classifier("ast", str(mixed)).logits(audio, 16_000)[0], ours.logits(audio, 16_000)[0]
    assert heard[140] == plain[3] and heard[153] == plain[140]
    assert torch.equal(heard.sort().values, plain.sort().values)
    music = slice(137, 283)
    torch.testing.assert_close(heard[music], theirs(mixed, audio[0], 16_000)[music], rtol=1e-4, atol=1e-4)


def rename(folder: Path, names: list[str] | None) -> None:
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in ("id2label", "label2id")}
    if names is not None:
        config["id2label"] = {str(column): name for column, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))


def complaint(path: Path | None) -> str:
    with pytest.raises(UserError) as caught:
        load_classifier("ast", path and str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_classes_that_are_not_audiosets_are_one_line(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    file = str(other / "config.json")
    for names, words in (
        (None, "does not name its classes"),
        ([f"LABEL_{column}" for column in range(527)], "does not name its classes"),
        (NAMES[:500], "names 500 classes, and its network has 527"),
        ([*NAMES[:140], "Lute", *NAMES[141:]], "names no class 'Guitar' (AudioSet's 140)"),
        (["Guitar", *NAMES[1:]], "names 2 classes 'Guitar' (AudioSet's 140)"),
    ):
        rename(other, names)
        told = complaint(other)
        assert file in told and words in told


def test_files_that_are_missing_or_cut_short_are_one_line(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    weights = other / "model.safetensors"
    weights.write_bytes((folder / "model.safetensors").read_bytes()[:50_000])
    assert str(other) in complaint(other) and "interrupted" in complaint(other)
    weights.unlink()
    assert "has no model.safetensors" in complaint(other)


def test_weights_that_are_not_all_there_are_refused(folder: Path, tmp_path: Path) -> None:
    """transformers would make up those that are missing."""
    from safetensors.torch import load_file, save_file

    other = shutil.copytree(folder, tmp_path / "other")
    weights = load_file(folder / "model.safetensors")
    del weights["audio_spectrogram_transformer.encoder.layer.1.output.dense.weight"]
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    assert "fc2.weight is missing" in complaint(other)


def fill_cache(folder: Path, cache: Path) -> str:
    """The folder as the hub's cache has it for the config's id and revision; the id is returned."""
    wanted = load_classifier_config("ast")
    snapshot = cache / f"models--{str(wanted.hub_id).replace('/', '--')}" / "snapshots" / str(wanted.revision)
    shutil.copytree(folder, snapshot)
    return str(wanted.hub_id)


def test_the_hubs_cache_serves_it_offline(
    folder: Path, ours: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert all(word in complaint(None) for word in ("MIT/ast-finetuned", "--revision f826b80", "classifier.path"))
    fill_cache(folder, tmp_path)
    assert classifier_id("ast") == classifier_id("ast", str(folder))
    audio = noise(1, 1.0, 16_000)
    assert torch.equal(load_classifier("ast").logits(audio, 16_000), ours.logits(audio, 16_000))
