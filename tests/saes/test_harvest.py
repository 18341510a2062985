"""The activations of a harvest's clips: read once to the disk, whatever happens meanwhile, or without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.activations.recipes import Making
from mech_music.activations.shards import OnDisk
from mech_music.base.errors import UserError
from mech_music.edits.excerpt import Excerpt
from mech_music.edits.row import Half
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.saes import harvest as harvests
from mech_music.saes.named import Corpus, Firing, Harvest
from mech_music.saes.settings import held_out, trained_on
from mech_music.saes.shuffle import Shuffle
from tests.made_engine import engine
from tests.saes.made_corpus import HOOK, STUDY, config, fitted, folder_of, own_cache  # noqa: F401


def making(own: Any, quiet: bool = True) -> Making:
    return Making(own.passes, 8, quiet=quiet)


def on_disk(harvest: Harvest | Corpus, own: Any, quiet: bool = True) -> Path:
    found = harvests.gather(harvest, [HOOK], making(own, quiet))
    assert isinstance(found, OnDisk)
    return found.folder


def test_with_a_prompt_both_halves_are_read(made: HookedMusicGen, tmp_path: Path) -> None:
    sae = config(folder_of(tmp_path / "songs"), prompt="Compose a happy rock piece.")
    own, train = engine(made, tmp_path / "store"), trained_on(sae, STUDY)
    (chunk,) = harvests.gather(train, [HOOK], making(own))
    halves = chunk.values[HOOK]
    assert halves.shape[2] == 2 and not torch.allclose(halves[:, :, 0], halves[:, :, 1], atol=1e-3)
    plain = trained_on(replace(sae, prompt=""), STUDY)
    (bare,) = harvests.gather(plain, [HOOK], making(own))
    torch.testing.assert_close(bare.values[HOOK][:, :, 0], halves[:, :, 1], rtol=1e-4, atol=1e-5)


def test_without_a_disk_everything_is_the_same(
    made: HookedMusicGen, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Trained, and what features do: ``engine.keep_activations=false``."""
    sae = config(folder_of(tmp_path / "songs"))
    train, test = trained_on(sae, STUDY), held_out(sae, STUDY)
    wanted = [fitted(train), Firing(fitted(train), HOOK, test)]
    kept, anew = engine(made, tmp_path / "kept"), engine(made, tmp_path / "anew", keep_activations=False)
    there, found = (own.answers(wanted).records for own in (kept, anew))
    for source in wanted:
        for name, values in there[source].items():
            np.testing.assert_array_equal(found[source][name], values)
    assert not list((tmp_path / "anew").rglob("streams/**/*.safetensors"))
    assert list((tmp_path / "kept").rglob("streams/**/*.safetensors"))
    capsys.readouterr()
    harvests.gather(train, [HOOK], making(anew, quiet=False))
    assert "made whenever they are read, each time about " in capsys.readouterr().err.replace("\n", " ")


def test_killed_it_goes_on_to_the_same_bytes(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harvests, "_CHUNK", 1)  # eight clips in each
    train = trained_on(config(folder_of(tmp_path / "songs"), every=0.25), STUDY)
    whole = on_disk(train, engine(made, tmp_path / "whole"))
    own, read, seen = engine(made, tmp_path / "killed"), Excerpt.tokens, [0]

    def dying(self: Excerpt, *how: Any) -> Any:
        seen[0] += 1
        if seen[0] == 10:
            raise KeyboardInterrupt
        return read(self, *how)

    monkeypatch.setattr(Excerpt, "tokens", dying)
    with pytest.raises(KeyboardInterrupt):
        harvests.gather(train, [HOOK], making(own))
    (killed,) = (tmp_path / "killed" / "v4" / "streams").glob("*/*")
    assert 0 < len(list(killed.glob("*.safetensors"))) < len(list(whole.glob("*.safetensors")))
    assert on_disk(train, own) == killed
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == {
        file.name: file.read_bytes() for file in whole.iterdir()
    }


def test_size_and_time_are_told_before(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = trained_on(config(folder_of(tmp_path / "songs")), STUDY)
    own = engine(made, tmp_path / "store")
    folder = on_disk(train, own, quiet=False)
    told = capsys.readouterr().err
    assert f"activations of 5 clips at {HOOK}: 0.0 MB in {folder}, about " in told.replace("\n", "")
    (shard,) = folder.glob("*.safetensors")
    size = harvests.n_bytes(train, 1, own.passes)
    assert size == 5 * own.passes.n_steps * 1 * 32 * 4 and size < shard.stat().st_size < size + 2**14
    harvests.gather(train, [HOOK], making(own, quiet=False))
    assert "activations of" not in capsys.readouterr().err, "there is nothing to read"
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match=r"^activations of 5 clips at 1 hooks take 0.0 MB, and .* has 0.0 MB left: set"):
        harvests.gather(train, [HOOK], making(engine(made, tmp_path / "full")))


def test_clips_with_values_that_are_not_finite_are_left_out(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip of which the model makes NaN is not trained on, and NaN in what is said of features."""
    sae = config(folder_of(tmp_path / "songs"))
    own, train = engine(made, tmp_path / "store"), trained_on(sae, STUDY)
    visit = HookedMusicGen.visit

    def failing(self: Any, prompts: Any, *rest: Any, **how: Any) -> Any:
        tokens = visit(self, prompts, *rest, **how)
        tokens[1] = -1
        return tokens

    monkeypatch.setattr(HookedMusicGen, "visit", failing)
    found = harvests.gather(train, [HOOK], making(own))
    monkeypatch.undo()
    assert sum(len(chunk.rows) for chunk in found) == 4
    vectors = Shuffle(found, [HOOK], Half.cond, 8, 1, 0).first()[HOOK]
    assert len(vectors) == 4 * own.passes.n_steps and vectors.isfinite().all()
    record = own.answers([Firing(fitted(train), HOOK, train)]).records[Firing(fitted(train), HOOK, train)]
    assert np.isnan(record["activation"]).any(axis=1).sum() == 1
