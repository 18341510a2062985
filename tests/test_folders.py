"""The folders of results: one for each command, and nothing in it of another time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from mech_music.config.paths import new_folder
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
    return CommandLine(tmp_path, monkeypatch)


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
