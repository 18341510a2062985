"""Our PaSST against hear21passt's own way from the published file to logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.listeners.classifier import Classifier, classifier_id, load_classifier
from tests.classifier.made import SMALL, make_passt, noise, shrink_passt


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkpoint in torch.hub's cache; no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _no_network)
    shrink_passt(monkeypatch)
    return make_passt(tmp_path / "hub")


def _no_network(url: str, *_: object, **__: object) -> None:
    raise OSError(f"no route to {url}")


def theirs(audio: torch.Tensor) -> torch.Tensor:
    """What hear21passt's documented calls give: its loader, its cache, its windows."""
    from hear21passt.base import get_basic_model, get_scene_embeddings

    with quiet_imports():
        return get_scene_embeddings(audio, get_basic_model(mode="logits"))


@pytest.mark.parametrize("seconds", [0.5, 4.0, 10.0, 13.7])
def test_logits_are_those_of_its_authors(published: Path, seconds: float, capfd: pytest.CaptureFixture[str]) -> None:
    audio = noise(2, seconds, 32_000)
    ours = load_classifier("passt")
    heard = ours.logits(audio, 32_000)
    assert capfd.readouterr() == ("", "")
    assert heard.std(0).mean() > 1e-4  # it does hear a difference between clips
    torch.testing.assert_close(heard, theirs(audio), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.logits(audio[1:2], 32_000), heard[1:2], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_features_are_what_the_head_reads(published: Path) -> None:
    """A clip of one window has its logits from them."""
    classifier: Any = load_classifier("passt")
    audio = noise(2, 4.0, 32_000)
    features = classifier.features(audio, 32_000)
    assert features.shape == (2, SMALL["embed_dim"])
    torch.testing.assert_close(classifier.net.head(features), classifier.logits(audio, 32_000))


def test_audio_at_another_rate_is_heard_at_its_own(published: Path) -> None:
    import torchaudio

    audio = noise(2, 3.0, 16_000)
    expected = theirs(torchaudio.functional.resample(audio, 16_000, 32_000))
    torch.testing.assert_close(load_classifier("passt").logits(audio, 16_000), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_at_the_published_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    make_passt(tmp_path / "hub")
    ours = load_classifier("passt")
    assert isinstance(ours, torch.nn.Module) and sum(weight.numel() for weight in ours.parameters()) > 85_000_000
    audio = noise(2, 4.0, 32_000)
    torch.testing.assert_close(ours.logits(audio, 32_000), theirs(audio), rtol=1e-5, atol=1e-5)


def test_the_shapes_are_the_published_ones() -> None:
    from hear21passt.models.passt import get_model

    from mech_music.listeners.passt import PUBLISHED, PaSST

    with quiet_imports():
        wanted = get_model("passt_s_swa_p16_128_ap476", pretrained=False).state_dict()
        net = PaSST(PUBLISHED).net
    assert {k: v.shape for k, v in net.state_dict().items()} == {k: v.shape for k, v in wanted.items()}


def test_the_file_and_the_cache_are_one_classifier(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pt"
    copy.write_bytes(published.read_bytes())
    assert classifier_id("passt", str(copy)) == classifier_id("passt")
    audio = noise(1, 1.0, 32_000)
    from_file: Classifier = load_classifier("passt", str(copy))
    assert torch.equal(from_file.logits(audio, 32_000), load_classifier("passt").logits(audio, 32_000))
    torch.save({**torch.load(copy), "cls_token": torch.ones(1, 1, 32)}, copy)
    assert classifier_id("passt", str(copy)) != classifier_id("passt")


def complaint(path: Path | None) -> str:
    with pytest.raises(UserError) as caught:
        load_classifier("passt", path and str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_download_that_was_cut_short_is_one_line(published: Path) -> None:
    published.write_bytes(published.read_bytes()[:100_000])
    told = complaint(None)
    assert str(published) in told and "delete it" in told and "https://" in told
    published.write_bytes(b"")
    assert str(published) in complaint(None)


def test_without_file_and_network_is_one_line(published: Path) -> None:
    published.unlink()
    told = complaint(None)
    assert "no route" in told and str(published) in told and "classifier.path" in told
    assert list(published.parent.iterdir()) == []


def test_files_that_are_something_else_are_one_line(published: Path, tmp_path: Path) -> None:
    weights = torch.load(published)
    other = tmp_path / "other.pt"
    assert "is not a file" in complaint(other)
    for content in ({"epoch": 3, "weights": weights}, [1, 2]):
        torch.save(content, other)
        assert "not a plain state dict" in complaint(other)
    torch.save({**weights, "head.1.weight": torch.zeros(20, 32)}, other)
    assert f"'{other}' has 20 classes, AudioSet has 527" in complaint(other)
    del weights["dist_token"]
    torch.save(weights, other)
    assert "dist_token is missing" in complaint(other)
