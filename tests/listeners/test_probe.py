"""A probe fitted on audio examples, where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from mech_music.base.errors import UserError
from mech_music.config.paths import also_in
from mech_music.config.schema import load_classifier_config
from mech_music.listeners.classes import class_names
from mech_music.listeners.probe import Probe
from mech_music.listeners.registry import open_listener
from mech_music.tiny import synth
from tests.composing import compose_run

TINY = load_classifier_config("tiny")


def clip(instrument: str, number: int) -> np.ndarray:
    genre, mood = ("rock", "jazz", "pop")[number % 3], ("happy", "groovy")[number % 2]
    return synth.render(synth.Clip(mood, genre, instrument, "medium", seed=number)).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Eight clips each of two instruments."""
    place = tmp_path_factory.mktemp("examples")
    for instrument in ("guitar", "violin"):
        (place / instrument).mkdir()
        for number in range(8):
            soundfile.write(place / instrument / f"{number}.wav", clip(instrument, number), 16_000)
    return {f"a {instrument}": str(place / instrument) for instrument in ("guitar", "violin")}


def heard(probe: Probe) -> Mapping[str, np.ndarray]:
    audio = torch.from_numpy(np.stack([clip(name, 100 + n) for name in ("guitar", "violin") for n in range(6)]))
    clips: Any = SimpleNamespace(audio=audio, sample_rate=16_000)
    return probe.read(clips)


def test_it_hears_clips_that_it_was_not_fitted_on(folders: dict[str, str]) -> None:
    found = heard(Probe(TINY, folders, "cpu"))
    assert np.mean(found["logits"].argmax(1) == np.repeat([0, 1], 6)) >= 0.9
    assert found["held_out"].shape == (12,) and set(found["held_out"].tolist()) == {1.0}
    turned = heard(Probe(TINY, dict(reversed(folders.items())), "cpu"))
    np.testing.assert_allclose(turned["logits"][:, ::-1], found["logits"], atol=1e-3)


def test_examples_that_differ_in_nothing_are_heard_by_chance(folders: dict[str, str], tmp_path: Path) -> None:
    """The same instruments in both classes: what the probe fits, it does not hear in examples held out."""
    for number in range(16):
        instrument, name = ("guitar", "violin")[number // 2 % 2], ("one", "other")[number // 4 % 2]
        (tmp_path / name).mkdir(exist_ok=True)
        soundfile.write(tmp_path / name / f"{number}.wav", clip(instrument, number), 16_000)
    found = heard(Probe(TINY, {name: str(tmp_path / name) for name in ("one", "other")}, "cpu"))
    assert found["held_out"][0] <= 0.75


def test_it_is_named_by_what_is_in_the_files(folders: dict[str, str], tmp_path: Path) -> None:
    first = Probe(TINY, folders, "cpu").id
    for name, folder in folders.items():
        (tmp_path / name).mkdir()
        for file in Path(folder).iterdir():
            (tmp_path / name / f"again {file.name}").write_bytes(file.read_bytes())
    elsewhere = {name: str(tmp_path / name) for name in folders}
    assert Probe(TINY, elsewhere, "cpu").id == first
    soundfile.write(tmp_path / "a violin" / "more.wav", clip("violin", 50), 16_000)
    assert Probe(TINY, elsewhere, "cpu").id != first


def test_mistakes_are_one_line(folders: dict[str, str], tmp_path: Path) -> None:
    violin = folders["a violin"]
    few = tmp_path / "few"
    few.mkdir()
    (few / "noise.wav").write_bytes(b"no sound")
    wrong = {
        "is no folder": {"a": violin, "b": str(tmp_path / "nowhere")},
        "examples of 'b': 1 different audio files; at least 5 are needed": {"a": violin, "b": str(few)},
        "are the same, in two classes": {"a": violin, "b": violin},
        "two classes or more": {"a": violin},
    }
    for said, classes in wrong.items():
        with pytest.raises(UserError, match=said):
            Probe(TINY, classes, "cpu")
    for number in range(4):
        soundfile.write(few / f"{number}.wav", clip("guitar", number), 16_000)
    with pytest.raises(UserError, match="noise.wav' cannot be heard"):
        Probe(TINY, {"a": violin, "b": str(few)}, "cpu").load()


def test_a_prompt_set_names_it(folders: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "listener").mkdir()
    lines = "".join(f"  {name}: {folder}\n" for name, folder in folders.items())
    (tmp_path / "listener" / "strings.yaml").write_text(f"_target_: {Probe.__module__}.Probe\nclasses:\n{lines}")
    with also_in(tmp_path):
        assert class_names("strings") == ("a guitar", "a violin")
        assert open_listener("strings", compose_run()).id == Probe(TINY, folders).id
