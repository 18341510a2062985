"""The bundle: whole or refused, loaded by audiocraft from anywhere, and open about words it does not know."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.models.musicgen.loading import load_model
from mech_music.tiny import data, register_t5, text_encoder, verify_bundle


@pytest.fixture
def bundle(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished / "bundle", tmp_path / "bundle"))


def load(folder: Path) -> Any:
    with quiet_imports():
        from audiocraft.models.musicgen import MusicGen

        return MusicGen.get_pretrained(str(folder), device="cpu")


def test_audiocraft_loads_it_from_any_working_directory(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify_bundle(bundle) == bundle
    register_t5(bundle / "t5")
    monkeypatch.chdir("/")
    model = load(bundle)
    assert (model.frame_rate, model.sample_rate, model.lm.n_q) == (25, 16_000, 4)
    assert {p.dtype for p in model.lm.parameters()} == {torch.float32}
    model.set_generation_params(duration=0.4, top_k=4)
    with quiet_imports():
        audio = model.generate(["Compose a happy rock piece, with a piano melody. Use a fast tempo."])
    assert audio.shape == (1, 1, 6400) and audio.isfinite().all()


def test_a_missing_and_an_altered_file_are_named_with_the_fix(bundle: Path) -> None:
    path = bundle / "t5" / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"t5/tokenizer.json is altered .*: restore it from git") as caught:
        verify_bundle(bundle)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(UserError, match=r"t5/tokenizer.json is missing"):
        verify_bundle(bundle)
    (bundle / "hashes.json").write_text("{")
    with pytest.raises(UserError, match=r"hashes.json is missing or unreadable"):
        verify_bundle(bundle)


def test_every_file_but_the_hashes_is_hashed(bundle: Path) -> None:
    listed = set(json.loads((bundle / "hashes.json").read_text()))
    assert listed == {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()} - {"hashes.json"}


def test_unknown_words_are_warned_of_once_and_read_as_unknown(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the model that is asked; audiocraft's own class stays as it is."""
    model = load_model(path=str(bundle), device="cpu")
    with caplog.at_level(logging.WARNING):
        assert model.prompt_length("gloomy gloomy") == 3
        model.conditions(["Compose a gloomy rock piece,", "gloomy gloomy"])
        model.generate("gloomy", duration=0.1)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [message.count("gloomy") for message in warnings] == [1]
    conditioner: Any = model.musicgen.lm.condition_provider.conditioners["description"]
    tokens = conditioner.tokenize(["Compose a gloomy rock piece,", None, "gloomy gloomy"])
    unknown = conditioner.t5_tokenizer.unk_token_id
    assert (tokens["input_ids"] == unknown).sum(1).tolist() == [1, 0, 2]
    assert type(conditioner).tokenize.__module__ == "audiocraft.modules.conditioners"


def test_every_prompt_is_one_token_a_word_and_none_unknown() -> None:
    tokenizer = text_encoder.make_tokenizer()
    for mood in data.MOODS:
        for genre in (*data.GENRES, "electronic"):
            for tempo in data.TEMPI:
                words = {"mood": mood, "genre": genre, "instrument": "flute", "tempo": tempo}
                text = data.STUDY.fill(words).text
                tokens = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
                assert tokens == [f"▁{word}" for word in text.split()] + ["</s>"]


def test_a_folder_that_is_no_t5_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no T5: its config.json is missing"):
        register_t5(tmp_path)
