"""A hub cache and checkpoints in the published format, small, for every test of loading."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.published import make_hub, make_published


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``HF_HUB_CACHE`` with the text encoder and the codec that published checkpoints name."""
    return make_hub(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two files of a small MusicGen, as published."""
    return make_published(tmp_path_factory.mktemp("published") / "musicgen-small")


@pytest.fixture
def offline(hub: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, and that cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.delenv("AUDIOCRAFT_CACHE_DIR", raising=False)
    return hub


def complaint(caught: pytest.ExceptionInfo[Exception]) -> str:
    """What the user reads: one line."""
    text = str(caught.value)
    assert "\n" not in text
    return text
