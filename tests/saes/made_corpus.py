"""Audio files made for the tests of corpora, and what is trained on them."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mech_music.config.schema import Dtype
from mech_music.prompts.declared import load_prompt_set
from mech_music.saes import corpus as corpora
from mech_music.saes.named import Corpus, SaeFit, TrainedSae, Training
from mech_music.saes.settings import SaeConfig

HOOK = "blocks.1.hook_resid_post"
RATE = 22_050
STUDY = load_prompt_set()


def sing(file: Path, number: int, seconds: float = 1.0) -> Path:
    """A tone of its own pitch with a little noise, in stereo."""
    t = np.arange(int(seconds * RATE)) / RATE
    draw = np.random.default_rng(number)
    tone = 0.3 * np.sin(2 * np.pi * (200 + 70 * number) * t) * (1 + np.sin(2 * np.pi * 3 * t))
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.stack([tone, tone + draw.normal(0, 0.05, len(t))], axis=1), RATE)
    return file


def folder_of(place: Path, n: int = 8) -> Path:
    for number in range(n):
        sing(place / f"{number % 2}" / f"song {number}.{'flac' if number % 3 else 'wav'}", number)
    return place


def manifest_of(place: Path, **more: Callable[[int], str]) -> Path:
    """Eight files in a CSV; ``more``: further columns, or others, by number."""
    lines = []
    for number in range(8):
        file = sing(place / f"{number}.wav", number)
        line = {"path": file.name, "licence": "CC0", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        lines.append(line | {name: say(number) for name, say in more.items()})
    with (place / "corpus.csv").open("w", newline="") as written:
        writer = csv.DictWriter(written, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return place / "corpus.csv"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "cache"))
    corpora.open_corpus.cache_clear()


def config(path: Path, **more: Any) -> SaeConfig:
    small = SaeConfig(corpus=str(path), seconds=0.4, held_out=3, spliced=2, clips=100, dtype=Dtype.float32)
    if "dtype" in more:
        more["dtype"] = Dtype(more["dtype"])
    return replace(small, **more)


def fitted(harvest: Corpus | Any, **more: Any) -> TrainedSae:
    return TrainedSae(HOOK, replace(SaeFit(harvest, 12, 3, Training.topk, 0.0, 2, 16, 1e-2, 0), **more))
