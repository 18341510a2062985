"""From a checkpoint to a model; every way in which there is none is one clear line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from mech_music.errors import UserError
from mech_music.hooks import Hook
from mech_music.loading import FILES, find_checkpoint, fingerprint, load_model, pick_device
from mech_music.model import HookedMusicGen
from mech_music.quiet import quiet_imports

with quiet_imports():
    from audiocraft.modules.transformer import LayerScale

SMALL = "facebook/musicgen-small"


def complaint(caught: pytest.ExceptionInfo[UserError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_local_folder_loads_and_is_hooked(checkpoint: Path, made: HookedMusicGen) -> None:
    model = load_model(path=str(checkpoint), device="cpu")
    assert (model.n_layers, model.d_model, model.frame_rate) == (3, 32, 25)
    assert model.n_steps(1.0) == 25 + 3
    assert model.fingerprint == fingerprint(checkpoint)
    assert torch.equal(model.generate(["Play."] * 2, duration=0.4), made.generate(["Play."] * 2, duration=0.4))


def test_fingerprint_knows_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(checkpoint, tmp_path / "changed")
    content = bytearray((changed / FILES[0]).read_bytes())
    content[-200] ^= 1
    (changed / FILES[0]).write_bytes(content)
    assert fingerprint(changed) != fingerprint(checkpoint)


def test_folder_without_files_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_model(path=str(tmp_path / "nowhere"), device="cpu")
    assert all(word in complaint(caught) for word in ("nowhere", *FILES))


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_corrupt_checkpoint_is_one_line(checkpoint: Path, tmp_path: Path, damage: str) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    if damage == "truncated":
        (broken / FILES[0]).write_bytes((checkpoint / FILES[0]).read_bytes()[:1000])
    else:
        torch.save({"weights": torch.zeros(3)}, broken / FILES[0])
    with pytest.raises(UserError) as caught:
        load_model(path=str(broken), device="cpu")
    assert "broken" in complaint(caught) and "cannot be loaded" in str(caught.value)


def test_hub_that_cannot_be_reached_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("AUDIOCRAFT_CACHE_DIR", str(tmp_path))
    with pytest.raises(UserError) as caught:
        find_checkpoint(None, SMALL)
    assert all(word in complaint(caught) for word in (SMALL, "model.path", "hf download"))


def test_filled_hub_cache_needs_no_network(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = "0" * 40
    snapshot = tmp_path / "models--facebook--musicgen-small" / "snapshots" / revision
    snapshot.mkdir(parents=True)
    for name in FILES:
        shutil.copy(checkpoint / name, snapshot / name)
    (refs := snapshot.parents[1] / "refs").mkdir()
    (refs / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("AUDIOCRAFT_CACHE_DIR", str(tmp_path))
    assert find_checkpoint(None, SMALL).folder == snapshot
    assert load_model(hub_id=SMALL, device="cpu").n_layers == 3


@pytest.mark.parametrize(("device", "said"), [("cuda:99", "not there"), ("tpu", "unknown device")])
def test_device_that_is_not_there_is_one_line(device: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        pick_device(device)
    assert said in complaint(caught) and "cpu" in str(caught.value)


def test_dtype_that_the_cpu_does_not_serve_is_one_line(checkpoint: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_model(path=str(checkpoint), device="cpu", dtype="float16")
    assert "bfloat16" in complaint(caught)


def test_check_finds_a_tree_whose_branches_do_not_add_up(made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer scale, say, that stands between the MLP's output and the residual stream."""
    layer: Any = made.musicgen.lm.transformer.layers[1]
    monkeypatch.setitem(layer._modules, "layer_scale_2", LayerScale(made.d_model, init=1.5))
    with pytest.raises(UserError, match="layer 1: branch outputs do not add up"):
        made.check()


@pytest.mark.parametrize("name", ["blocks.0.hook_mlp", "mlp_out", "blocks.-1.hook_mlp_out", ""])
def test_unknown_hook_name_is_one_line(name: str) -> None:
    with pytest.raises(UserError) as caught:
        Hook.parse(name)
    assert "mlp_out" in complaint(caught)


def test_hook_beyond_the_model_and_read_only_hooks_are_refused(made: HookedMusicGen) -> None:
    with pytest.raises(UserError, match="layers 0 to 2"):
        made.run_with_cache(["Play."], "blocks.3.hook_mlp_out")
    with pytest.raises(UserError, match="read-only"):
        made.run_with_hooks(["Play."] * 2, [("blocks.0.hook_resid_mid", lambda value, hook: value)], duration=0.2)
