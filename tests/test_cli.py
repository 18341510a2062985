"""The command line: what it prints, how it ends, what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mech_music.config.paths import conf_dir
from mech_music.run import INTERRUPTED
from tests.composing import CommandLine

SMALL = ("prompts=2", "layer=last", "statistics.resamples=20")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


def process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``python <words>`` in ``folder``, with this checkout importable."""
    env = {**os.environ, "PYTHONPATH": str(conf_dir().parent)}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def test_help_from_any_folder(tmp_path: Path) -> None:
    done = process(tmp_path, "-m", "mech_music.run", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "intervene on MusicGen" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_config_is_shown_without_heavy_imports(tmp_path: Path) -> None:
    code = (
        "import sys; from mech_music.run import main; sys.argv = ['mech-music', '--cfg', 'job']; main(); "
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = process(tmp_path, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "technique:\n  name: replace" in done.stdout


def test_a_job_is_planned_without_the_model_s_libraries(tmp_path: Path) -> None:
    """A run whose clips are stored is over before they would be imported."""
    code = (
        "import sys, mech_music.cli.job, mech_music.tasks.interchange.task, mech_music.tasks.decoder_lens.task, "
        "mech_music.tasks.tuned_lens.task, mech_music.tasks.self_similarity.task; "
        "assert not {'audiocraft', 'nnsight', 'transformers', 'wandb'} & sys.modules.keys()"
    )
    done = process(tmp_path, "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("word", ["model=tny", "layer=99"])
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path, word: str) -> None:
    done = process(tmp_path, "-m", "mech_music.run", word)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("mech_music: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_one_job(command: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("prompts=2", "statistics.resamples=20") == 0
    out, err = capsys.readouterr()
    assert "guitar → piano" in out
    assert str(command.folder / "run") in out
    assert err == ""
    table = pd.read_parquet(command.folder / "run" / "table.parquet")
    assert set(table["layer"]) == {"", *map(str, range(8))}
    assert (command.folder / "run" / "summary.parquet").is_file()
    assert len(list((command.folder / "run" / "audio").glob("*.wav"))) == 2 * (2 + 1 + 2)
    assert list((command.folder / "run" / "figures").iterdir())


def test_a_fault_keeps_its_traceback_in_the_log(
    command: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.engine, "answers", lambda rows, listeners: 1 / 0)
    assert command(*SMALL) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "ZeroDivisionError" in err
    log = command.folder / "run" / "mech_music.log"
    assert str(log) in err
    assert "Traceback" in log.read_text()


def test_interrupted(command: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(rows: object, listeners: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.engine, "answers", interrupt)
    for words in (SMALL, ("-m", "component=mlp,sa", *SMALL)):
        assert command(*words) == 130
        assert capsys.readouterr().err == f"mech_music: {INTERRUPTED}\n"


def test_a_folder_that_cannot_be_written(command: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    (command.folder / "run").write_text("a file where the folder should be")
    assert command(*SMALL) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert str(command.folder / "run") in err
