"""Training: a killed run continues to the same bytes, and a folder that cannot be continued is refused in one line."""

import logging
import multiprocessing
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.tiny import loop, train
from mech_music.tiny.config import StageName
from tests.tiny.conftest import micro

MICRO = ["corpus", "codec", "codes", "mels", "classifier", "language_model", "bundle", "planted"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(folder: Path) -> dict[str, bytes]:
    return {name: held for name, held in contents(folder).items() if not name.startswith("logs")}


def _command(*words: str) -> None:
    """``python -m mech_music.tiny.train <words>``, in a copy of this process."""
    logging.getLogger().handlers.clear()  # those of earlier tests write to streams that are closed
    sys.argv = ["train", *words]
    train.main()


def test_a_run_killed_in_the_middle_ends_in_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_command, args=("preset=micro", f"folder={tmp_path}"))
    process.start()
    while not (tmp_path / "classifier.checkpoint.pt").exists():
        assert process.is_alive(), "the run ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "hashes.json").exists()
    train.run(micro(tmp_path))
    found, wanted = results(tmp_path), results(finished)
    found = {name: held for name, held in found.items() if not Path(name).name.startswith(".")}
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


@pytest.mark.parametrize("stage", ["codec", "language_model"])
def test_a_stage_stopped_between_checkpoints_ends_in_the_same_weights(
    stage: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = micro(tmp_path)
    whole_step = loop._step

    def failing_step(model, optimizer, settings, step, loss_of):
        if step == 7 and settings is getattr(config, stage).loop:
            raise KeyboardInterrupt
        return whole_step(model, optimizer, settings, step, loss_of)

    monkeypatch.setattr(loop, "_step", failing_step)
    with pytest.raises(KeyboardInterrupt):
        train.run(config)
    assert torch.load(tmp_path / f"{stage}.checkpoint.pt", weights_only=True)["step"] == 4
    monkeypatch.undo()
    train.run(config)
    name = f"{stage}.safetensors"
    assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


def test_done_stages_are_skipped(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.glob("*.safetensors")}
    assert len(before) == 7
    train.run(micro(finished))
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_folder_of_another_config_is_refused(finished: Path) -> None:
    config = micro(finished)
    config.codec = replace(config.codec, dimension=4)
    with pytest.raises(UserError, match=r"codec\.json was trained with another config \(codec differ\)"):
        train.run(config)


def test_how_often_to_save_is_not_part_of_the_recipe(finished: Path) -> None:
    config = micro(finished)
    config.codec.loop.save_every = 3
    train.run(config)


@pytest.mark.parametrize(
    ("name", "message"), [("codec.safetensors", "missing or altered"), ("corpus.json", "not readable")]
)
def test_a_corrupt_stage_is_refused(name: str, message: str, finished: Path) -> None:
    path = finished / name
    intact = path.read_bytes()
    path.write_bytes(intact[: len(intact) // 2])
    try:
        with pytest.raises(UserError, match=message) as caught:
            train.run(micro(finished))
        assert "\n" not in str(caught.value) and "delete" in str(caught.value)
    finally:
        path.write_bytes(intact)


def test_a_corrupt_checkpoint_is_refused(tmp_path: Path) -> None:
    config = micro(tmp_path)
    config.stages = [StageName.corpus, StageName.codec]
    tmp_path.joinpath("codec.checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"codec\.checkpoint\.pt is not readable"):
        train.run(config)


def test_a_stage_without_its_input_says_which_is_missing(tmp_path: Path) -> None:
    config = micro(tmp_path)
    config.stages = [StageName.classifier]
    with pytest.raises(UserError, match="stage mels is not done"):
        train.run(config)


def test_a_senseless_number_is_refused(tmp_path: Path) -> None:
    config = micro(tmp_path)
    config.codec.loop.batch = 0
    with pytest.raises(UserError, match=r"codec\.loop\.batch=0: must be at least 1"):
        train.run(config)


def test_stages_run_in_their_order() -> None:
    assert [stage.value for stage in StageName] == MICRO
