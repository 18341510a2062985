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


def test_the_config_is_shown(tmp_path: Path) -> None:
    done = process(tmp_path, "-m", "mech_music.run", "--cfg", "job")
    assert (done.returncode, done.stderr) == (0, "")
    assert "technique:\n  name: replace" in done.stdout


LIGHT = """
import os, sys
from importlib import import_module

heavy = {"audiocraft", "matplotlib", "nnsight", "pandas", "scipy", "torch", "transformers", "wandb"}
verbs = [("__main__", []), ("store.__main__", [])]
verbs += [("run", words) for words in (["--help"], ["--cfg", "job"], ["model=tny"])]
explained = ("report", "store", "doctor", "dashboard", "benchmarks", "prompts")
verbs += [(f"{name}.__main__", ["--help"]) for name in explained]
for name, words in [*verbs, ("power", ["--help"])]:
    sys.argv = [name, *words]
    os.environ["HYDRA_FULL_ERROR"] = "0"  # a run sets it
    try:
        import_module(f"mech_music.{name}").main()
    except SystemExit:
        pass
    loaded = heavy & sys.modules.keys() - ({"pandas", "scipy"} if name == "power" else set())
    assert not loaded, (name, words, loaded)
"""


def test_help_configs_and_mistakes_load_nothing_heavy(tmp_path: Path) -> None:
    """One command after the other in one process: what any of them loads stays loaded."""
    done = process(tmp_path, "-c", LIGHT)
    assert done.returncode == 0, done.stderr


def test_a_job_is_planned_without_the_model_s_libraries(tmp_path: Path) -> None:
    """A run whose clips are stored is over before they would be imported."""
    code = (
        "import sys, mech_music.cli.job, mech_music.tasks.interchange.task, mech_music.tasks.decoder_lens.task, "
        "mech_music.tasks.tuned_lens.task, mech_music.tasks.self_similarity.task; "
        "heavy = {'audiocraft', 'matplotlib', 'nnsight', 'scipy.stats', 'transformers', 'wandb'} & sys.modules.keys(); "
        "assert not heavy, heavy"
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
