"""Where files come from: folders, caches, revisions; and every way in which they are not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import RevisionNotFoundError

from mech_music.base.errors import UserError
from mech_music.config.schema import ModelConfig
from mech_music.models.musicgen.hub import find_codec, find_text_encoder
from mech_music.models.musicgen.loading import FILES, Checkpoint, find_checkpoint, fingerprint, load_model
from mech_music.models.musicgen.model import HookedMusicGen
from tests.loading.conftest import complaint
from tests.published import CODEC, COMMIT, T5, make_t5, put_in_cache

SMALL = "facebook/musicgen-small"
OTHER = "2610ed09b7335026d4c2f977003a0dbc2c815272"


def cached(hub: Path, published: Path, at: Path, commit: str = COMMIT, ref: str = "main") -> Path:
    """A copy of the checkpoint in a cache; returns the snapshot."""
    return put_in_cache(hub, SMALL, shutil.copytree(published, at / commit), commit, ref)


def test_folder_without_files_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_model(path=str(tmp_path / "nowhere"), device="cpu")
    assert all(word in complaint(caught) for word in ("nowhere", *FILES))


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "AUDIOCRAFT_CACHE_DIR"])
def test_filled_cache_needs_no_network(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The model from either cache; T5 and codec from the hub's."""
    if variable == "HF_HUB_CACHE":
        cache = shutil.copytree(offline, tmp_path / "hub", symlinks=True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    else:
        cache = tmp_path / "audiocraft"
        monkeypatch.setenv("AUDIOCRAFT_CACHE_DIR", str(cache))
    snapshot = cached(cache, published, tmp_path)
    found = find_checkpoint(None, SMALL)
    assert (found.folder, found.name) == (snapshot, f"{SMALL} @ {COMMIT}")
    assert load_model(hub_id=SMALL, device="cpu").n_layers == 2


def test_the_cache_is_used_without_asking_the_network(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the network"))
    snapshot = cached(tmp_path / "hub", published, tmp_path)
    assert find_checkpoint(None, SMALL).folder == snapshot


def test_revisions(offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit or a tag is resolved to its commit, which people can read; the weights alone are the identity."""
    hub = shutil.copytree(offline, tmp_path / "hub", symlinks=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    first, second = cached(hub, published, tmp_path), cached(hub, published, tmp_path, OTHER, "v1")
    assert find_checkpoint(None, SMALL, "main").folder == find_checkpoint(None, SMALL, COMMIT).folder == first
    assert find_checkpoint(None, SMALL, "v1").folder == find_checkpoint(None, SMALL, OTHER).folder == second

    def voice(revision: str | None) -> Checkpoint:
        config = ModelConfig("made", hub_id=SMALL, revision=revision, layers=2, frame_rate=50)
        return Checkpoint(config, "cpu")

    assert (voice(None).source, voice("v1").source) == (f"{SMALL} @ {COMMIT}", f"{SMALL} @ {OTHER}")
    assert voice(None).model_id == voice("v1").model_id
    with pytest.raises(UserError) as caught:
        voice("v2")
    assert all(word in complaint(caught) for word in ("'v2'", COMMIT, OTHER, "hf download", "--revision v2"))
    for local in ((str(published), SMALL), (None, None)):
        with pytest.raises(UserError, match=r"model\.revision=v1 belongs to a repository"):
            find_checkpoint(*local, "v1")


def test_revision_that_the_hub_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def refuse(*_: object, **__: object) -> None:
        raise RevisionNotFoundError.__new__(RevisionNotFoundError)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=r"model\.revision=v9 is no commit, tag or branch of") as caught:
        find_checkpoint(None, SMALL, "v9")
    assert SMALL in complaint(caught)


def test_what_is_fetched(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the files that are read, at the revision that was asked for, into the first cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    asked: dict[str, Any] = {}

    def download(repo: str, **how: Any) -> str:
        asked.update(how, repo=repo)
        return str(cached(Path(how["cache_dir"]), published, tmp_path))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_checkpoint(None, SMALL, "v1").name == f"{SMALL} @ {COMMIT}"
    assert (asked["repo"], asked["revision"], asked["cache_dir"]) == (SMALL, "v1", str(tmp_path / "hub"))
    assert set(FILES) <= set(asked["allow_patterns"]) and "pytorch_model.bin" not in asked["allow_patterns"]


def test_hub_that_cannot_be_reached_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        find_checkpoint(None, SMALL)
    assert all(word in complaint(caught) for word in (SMALL, str(tmp_path), "model.path", "hf download"))


def test_unfinished_download_is_seen(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIOCRAFT_CACHE_DIR", str(tmp_path / "cache"))
    (cached(tmp_path / "cache", published, tmp_path) / FILES[1]).unlink()
    with pytest.raises(UserError, match=rf"has no {FILES[1]}") as caught:
        find_checkpoint(None, SMALL)
    complaint(caught)


@pytest.mark.parametrize(("part", "find", "name"), [("t5", find_text_encoder, T5), ("encodec", find_codec, CODEC)])
def test_text_encoder_and_codec_that_are_missing_are_named(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, find: Any, name: str
) -> None:
    hub = shutil.copytree(offline, tmp_path / "hub", symlinks=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    (gone,) = hub.glob(f"models--*{part}*")
    shutil.rmtree(gone)
    with pytest.raises(UserError) as caught:
        load_model(path=str(published), device="cpu")
    repo = f"google-t5/{T5}" if part == "t5" else CODEC
    assert all(word in complaint(caught) for word in (f"'{name}'", f"hf download {repo} model.safetensors config.json"))


def text_tokens(model: HookedMusicGen) -> list[int]:
    conditioner: Any = model.musicgen.lm.condition_provider.conditioners["description"]
    return conditioner.tokenize(["A slow piece, slow."])["input_ids"][0].tolist()


@pytest.mark.parametrize("repo", ["t5-base", "google-t5/t5-base"])
@pytest.mark.parametrize("tokenizer", ["spiece.model", "tokenizer.json"])
def test_t5_under_both_of_its_names(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo: str, tokenizer: str
) -> None:
    """As `hf download` leaves it under either name, with either form of the tokenizer: the same text tokens."""
    whole = load_model(path=str(published), device="cpu")
    hub = shutil.copytree(offline, tmp_path / "hub", symlinks=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    shutil.rmtree(hub / "models--t5-base")
    files = make_t5(tmp_path / "t5")
    (files / {"spiece.model": "tokenizer.json", "tokenizer.json": "spiece.model"}[tokenizer]).unlink()
    put_in_cache(hub, repo, files)
    ids = [text_tokens(model) for model in (whole, load_model(path=str(published), device="cpu"))]
    assert ids[0] == ids[1] and len(ids[0]) > 3


@pytest.mark.parametrize("part", [*FILES, "t5", "encodec"])
def test_fingerprint_knows_every_part(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Also the weights that a checkpoint only names; not what lies beside them."""
    hub = shutil.copytree(offline, tmp_path / "hub", symlinks=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    folder, before = shutil.copytree(published, tmp_path / "made"), fingerprint(published)
    assert fingerprint(folder) == before
    snapshots = list(hub.glob(f"models--*{part}*/snapshots/*"))
    if snapshots:
        (snapshots[0] / "README.md").write_text("beside")
        (snapshots[0] / "pytorch_model.bin").write_text("beside")
        assert fingerprint(folder) == before
    file = snapshots[0] / "model.safetensors" if snapshots else folder / part
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # in a tensor, or in the codec's name
    file.unlink()
    file.write_bytes(content)
    if part == FILES[1]:
        file.write_bytes((published / part).read_bytes() + os.urandom(8))
    assert fingerprint(folder) != before


@pytest.mark.parametrize("name", ["tokenizer.json", "spiece.model", "config.json", "tokenizer_config.json"])
def test_fingerprint_knows_every_file_of_a_text_encoder(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whichever form of the tokenizer transformers takes; also one that was not there before."""
    hub = shutil.copytree(offline, tmp_path / "hub", symlinks=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    before = fingerprint(published)
    (snapshot,) = hub.glob("models--*t5*/snapshots/*")
    file = snapshot / name
    content = file.read_bytes() if file.is_file() else b"{}"
    file.unlink(missing_ok=True)
    file.write_bytes(content + b"\n")
    assert fingerprint(published) != before
