"""The folders of results: one for each command, and nothing in it of another time."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.config.paths import new_folder
from mech_music.report.__main__ import main as report
from mech_music.report.found import read_results
from tests.composing import CommandLine

SMALL = ("prompts=2", "layer=last", "statistics.resamples=20", "audio.strongest=0", "audio.weakest=0")


class _StoppedClock(datetime):
    """Every command starts in the same second."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime(2024, 5, 6, 7, 8, 9)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setattr("mech_music.cli.job.draw", lambda summary, folder: [])
    monkeypatch.setattr("mech_music.results.results.draw", lambda summary, folder, n_workers: [])
    return CommandLine(tmp_path, monkeypatch, draws=False)


@pytest.fixture
def by_time(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """In folders named by the time, which stands still."""
    monkeypatch.setattr("hydra.core.utils.datetime", _StoppedClock)
    monkeypatch.chdir(command.folder)
    command.places = []
    return command


def test_two_runs_of_one_second_have_a_folder_each(by_time: CommandLine) -> None:
    for component in ("mlp", "sa"):
        assert by_time(*SMALL, f"component={component}") == 0
    for name, component in (("07-08-09", "mlp"), ("07-08-09_1", "sa")):
        folder = by_time.folder / "outputs" / "2024-05-06" / name
        assert set(pd.read_parquet(folder / "table.parquet")["component"]) == {"", component}
        assert f"component: {component}" in (folder / ".hydra" / "config.yaml").read_text()


@pytest.mark.parametrize("launcher", ["packed", "basic"])
def test_two_sweeps_of_one_second_have_a_folder_each(by_time: CommandLine, launcher: str) -> None:
    for components in ("mlp,sa", "ca,resid"):
        assert by_time("-m", *SMALL, f"component={components}", f"hydra/launcher={launcher}") == 0
    day = by_time.folder / "multirun" / "2024-05-06"
    assert sorted(place.name for place in day.iterdir()) == ["07-08-09", "07-08-09_1"]
    for name, components in (("07-08-09", {"mlp", "sa"}), ("07-08-09_1", {"ca", "resid"})):
        assert set(pd.read_parquet(day / name / "table.parquet")["component"]) == {"", *components}
        assert len(list((day / name).glob("[01]_*/table.parquet"))) == 2


def test_a_folder_that_was_given_is_used_as_it_is(command: CommandLine) -> None:
    for _ in range(2):
        assert command(*SMALL) == 0
        assert command("-m", *SMALL, "component=mlp") == 0
    assert sorted(place.name for place in command.folder.iterdir()) == ["run", "sweep"]


def test_what_only_looks_makes_no_folder(by_time: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    assert by_time("layer=99") == 1
    assert by_time("--cfg", "hydra", "--resolve") == 0
    assert "outputs/2024-05-06/07-08-09" in capsys.readouterr().out
    assert list(by_time.folder.iterdir()) == []


def test_a_folder_is_made_by_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(new_folder, [str(tmp_path / "day" / "second")] * 64))
    assert len(set(made)) == len(list((tmp_path / "day").iterdir())) == 64


def test_where_no_folder_can_be_made_the_run_says_so(by_time: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    (by_time.folder / "outputs").write_text("a file where the folder should be")
    assert by_time(*SMALL) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "cannot use outputs" in err


# -- a second time into the same folder ------------------------------------------------------------------------


def fail(*_: object) -> None:
    raise UserError("the model is gone")


def written(folder: Path) -> set[str]:
    """Results, and what else lies in a job's folder; Hydra's own records and the log left out."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] not in (".hydra", "mech_music.log")}


def test_a_failed_rerun_leaves_no_results_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other people's files stay, also where the results lie."""
    command, folder = CommandLine(tmp_path, monkeypatch), tmp_path / "run"
    words = (*SMALL[:3], "audio.strongest=1", "audio.weakest=0")
    assert command(*words) == 0
    report([str(folder), "audio=0"])
    first = written(folder)
    assert {"table.parquet", "summary.parquet", "report.html"} < first
    assert {Path(name).suffix for name in first} == {".parquet", ".html", ".png", ".svg", ".wav", ".csv"}
    mine = {"notes.txt", "figures/mine.png", "figures/notes.txt", "audio/mine.wav", "mine/table.parquet"}
    for name in mine:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")

    with monkeypatch.context() as patch:
        patch.setattr(command.engine, "answers", fail)
        assert command(*words) == 1
    assert written(folder) == mine | {"failed.txt"}
    assert (folder / "failed.txt").read_text() == "the model is gone\n"
    capsys.readouterr()
    with pytest.raises(SystemExit):
        report([str(folder), "audio=0"])
    assert "the model is gone" in capsys.readouterr().err

    assert command(*words) == 0
    assert written(folder) == (first | mine) - {"report.html"}


def test_a_run_that_cannot_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the folders made for it; a folder with other files in it stays."""
    command = CommandLine(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mech_music.cli.job.open_engine", fail)
    before = set(tmp_path.rglob("*"))
    command.places = ["hydra.run.dir=made/for/it"]
    assert command(*SMALL) == 1
    assert set(tmp_path.rglob("*")) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    command.places = ["hydra.run.dir=mine"]
    assert command(*SMALL) == 1
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, error: BaseException) -> None:
    (path := tmp_path / "table.csv").write_text("before")
    with pytest.raises((KeyboardInterrupt, UserError)), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "before"


def test_remains_of_a_killed_writer_go_when_the_job_starts_again(command: CommandLine) -> None:
    figures = command.folder / "run" / "figures"
    figures.mkdir(parents=True)
    with suppress(KeyboardInterrupt), replacing(figures / "layers.png") as partial:
        partial.write_text("half")
        shutil.copy(partial, partial.with_suffix(".svg"))  # what a kill would leave; an exception takes it away
        raise KeyboardInterrupt
    assert command(*SMALL) == 0
    assert not list(figures.glob(".*"))


def test_an_interrupted_rerun_leaves_no_results_of_before(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    assert command(*SMALL) == 0
    monkeypatch.setattr(command.engine, "answers", interrupt)
    assert command(*SMALL) == 130
    assert written(command.folder / "run") == set()


@pytest.mark.parametrize("launcher", ["packed", "basic"])
def test_a_sweep_that_fails_when_repeated_is_not_the_one_of_before(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    """First one job of two, then both."""
    words, folder = ("-m", *SMALL, "component=mlp,sa", f"hydra/launcher={launcher}"), command.folder / "sweep"
    assert command(*words) == 0
    assert set(read_results(folder)[0].table["component"]) == {"", "mlp", "sa"}
    with monkeypatch.context() as patch:
        patch.setattr("mech_music.cli.job.draw", fail)
        answers = command.engine.answers
        patch.setattr(command.engine, "answers", lambda rows, *more: fail() if "attn" in str(rows) else answers(rows))
        assert command(*words) == 1
    (found,) = read_results(folder)
    assert set(found.table["component"]) == {"", "mlp"}
    assert [(failure.folder.name[:2], failure.reason) for failure in found.failures] == [("1_", "the model is gone")]
    with monkeypatch.context() as patch:
        patch.setattr(command.engine, "answers", fail)
        assert command(*words) == 1
    with pytest.raises(UserError, match="2 jobs failed, the first with: the model is gone"):
        read_results(folder)
    assert command(*words) == 0
    assert set(read_results(folder)[0].table["component"]) == {"", "mlp", "sa"}
