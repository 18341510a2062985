"""Files that are not what they should be: one line that names the file and the fix."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from mech_music.base.errors import UserError
from mech_music.models.musicgen.loading import FILES, load_model
from mech_music.models.musicgen.published import Published
from tests.loading.conftest import complaint
from tests.published import Size, make_published, published_config

LM, CODEC = FILES


@pytest.fixture
def broken(offline: Path, published: Path, tmp_path: Path) -> Path:
    return shutil.copytree(published, tmp_path / "broken")


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_model(path=str(folder), device="cpu")
    return complaint(caught)


def test_tensors_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    """Views of one storage, transposed ones, scalars, empty ones, every number format."""
    storage = torch.randn(100)
    state = {
        "slice": storage[10:40].view(5, 6),
        "transposed": storage[40:60].view(4, 5).T,
        "half": torch.randn(3, 4).half(),
        "bfloat16": torch.randn(7).bfloat16(),
        "whole": torch.arange(5),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
    }
    config = OmegaConf.to_yaml(OmegaConf.create(published_config(Size())))
    torch.save({"best_state": state, "xp.cfg": config}, tmp_path / LM)
    read = dict(Published.open(tmp_path / LM).tensors())
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) and read[name].dtype == state[name].dtype for name in state)


@pytest.mark.parametrize("kept", [0, 1000, -1000])
@pytest.mark.parametrize("name", FILES)
def test_cut_short(broken: Path, name: str, kept: int) -> None:
    (broken / name).write_bytes((broken / name).read_bytes()[:kept])
    assert str(broken / name) in (line := refusal(broken)) and "fetch it again" in line


def test_pointer_of_a_large_file_store(broken: Path) -> None:
    """What git leaves when the large files were not fetched."""
    (broken / LM).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 841000000\n")
    assert str(broken / LM) in refusal(broken)


def test_weights_of_another_library(broken: Path) -> None:
    torch.save({"decoder.model.layers.0.fc1.weight": torch.zeros(3)}, broken / LM)
    assert str(broken / LM) in (line := refusal(broken)) and "best_state" in line


@pytest.mark.parametrize("name", FILES)
def test_files_in_each_others_place(broken: Path, name: str) -> None:
    other = LM if name == CODEC else CODEC
    shutil.copy(broken / other, broken / name)
    line = refusal(broken)
    assert str(broken / name) in line and other in line.replace(str(broken / name), "")


def test_codecs_own_checkpoint_in_the_models_place(broken: Path, checkpoint: Path) -> None:
    shutil.copy(checkpoint / CODEC, broken / LM)
    assert "holds a codec" in refusal(broken)


def test_weights_and_config_of_two_models(broken: Path, tmp_path: Path) -> None:
    wide, deep = (make_published(tmp_path / str(size.dim), size) for size in (Size(dim=64), Size(layers=3)))
    one = torch.load(broken / LM)
    for other, said in ((wide, "is [64, "), (deep, "transformer.layers.2.")):
        torch.save(one | {"best_state": torch.load(other / LM)["best_state"]}, broken / LM)
        line = refusal(broken)
        assert str(broken / LM) in line and "do not fit" in line and said in line


def test_model_of_another_kind(broken: Path) -> None:
    """MAGNeT, say, whose codebooks have no delay pattern."""
    content = torch.load(broken / LM)
    config = OmegaConf.create(content["xp.cfg"])
    config.codebooks_pattern = {"modeling": "parallel"}
    torch.save(content | {"xp.cfg": OmegaConf.to_yaml(config)}, broken / LM)
    assert "has no codebooks_pattern.delay.delays" in (line := refusal(broken)) and "served are small" in line


def test_config_that_cannot_be_read(broken: Path) -> None:
    torch.save(torch.load(broken / LM) | {"xp.cfg": "a: [b"}, broken / LM)
    assert str(broken / LM) in (line := refusal(broken)) and "xp.cfg" in line
