"""Folders that are whole, half finished, spoiled or not there; and the command line."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

from mech_music.base.errors import UserError
from mech_music.report.__main__ import main
from mech_music.report.found import Found, read_results
from tests.composing import CommandLine
from tests.report.conftest import SWEPT


def job(folder: Path, number: int) -> Path:
    (found,) = folder.glob(f"{number}_*")
    return found


def page_of(*words: str) -> int:
    """The exit status of ``python -m mech_music.report <words>``."""
    try:
        main(words)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_is_the_one_that_was_given(found: Found) -> None:
    assert found.command
    words = shlex.split(found.command)
    assert words[:4] == ["python", "-m", "mech_music.run", "-m"]
    assert {word for word in words[4:] if not word.startswith("hydra.")} - {"logger=none"} == set(SWEPT[1:])
    assert f"hydra.sweep.dir={found.folder}" in words


def test_a_whole_sweep(found: Found) -> None:
    assert (found.failures, found.missing) == ([], [])
    assert [run.strength for run in found.runs] == [1.0, 2.0, 1.0, 2.0]


def test_a_half_finished_sweep_says_what_is_missing(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Job 0 finished, 1 is running, 2 failed, 3 was not started, and there is no common table yet."""
    for name in ("table.parquet", "summary.parquet"):
        (copied / name).unlink()
    (job(copied, 1) / "table.parquet").unlink()
    (job(copied, 2) / "table.parquet").unlink()
    (job(copied, 2) / "failed.txt").write_text("the disk is full <now>\n")
    shutil.rmtree(job(copied, 3))
    assert page_of(str(copied), "audio=0") == 0
    html = (copied / "report.html").read_text()
    assert "the disk is full &lt;now&gt;" in html
    assert "Job 3 was not started: component=ca technique=steer strength=2" in html
    assert f"Job {job(copied, 1).name} has no table yet" in html.replace("&#34;", '"')
    assert "failed: 2_" in capsys.readouterr().out
    (found,) = read_results(copied)
    assert set(found.table["strength"]) == {1.0}
    assert set(found.table["component"]) == {"", "mlp"}


def test_a_job_that_finished_later_counts(copied: Path) -> None:
    """The sweep's own table is taken if it is the newest; else the jobs' tables are joined anew."""
    own = copied / "table.parquet"
    shutil.copy(job(copied, 0) / "table.parquet", own)
    newest = job(copied, 3).joinpath("table.parquet").stat().st_mtime
    for seconds, strengths in ((10, {1.0}), (-10, {1.0, 2.0})):
        os.utime(own, (newest + seconds, newest + seconds))
        assert set(read_results(copied)[0].table["strength"]) == strengths


def test_a_failure_is_preferred(copied: Path) -> None:
    """To the job's table, and to that of the sweep, which was made before the job failed."""
    (job(copied, 3) / "failed.txt").write_text("the disk is full")
    (found,) = read_results(copied)
    assert [failure.reason for failure in found.failures] == ["the disk is full"]
    assert len(found.jobs) == 3
    assert found.table.query("component == 'ca' and strength == 2 and role == 'technique'").empty
    with pytest.raises(UserError, match="1 jobs failed, the first with: the disk is full"):
        read_results(job(copied, 3))


def test_one_job_of_a_sweep(copied: Path) -> None:
    (found,) = read_results(job(copied, 1))
    assert set(found.table["strength"]) == {2.0}
    assert found.command
    assert "strength=2" in found.command
    assert " -m component" not in found.command


def test_a_table_without_its_config(copied: Path) -> None:
    """Clips cannot be found again, all else is shown."""
    for place in copied.glob("*/.hydra"):
        shutil.rmtree(place)
    (copied / "multirun.yaml").unlink()
    assert page_of(str(copied), f"out={copied / 'page.html'}") == 0
    html = (copied / "page.html").read_text()
    assert "no config" in html
    assert "record of the command" in html


@pytest.mark.parametrize("spoiled", ["not there", "empty", "a file", "no table", "garbage", "only failed"])
def test_nothing_to_show_is_one_line(copied: Path, spoiled: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied / "0"
    if spoiled == "a file":
        folder.write_text("")
    elif spoiled != "not there":
        folder.mkdir()
    if spoiled == "no table":
        shutil.copytree(job(copied, 1) / ".hydra", folder / ".hydra")
    if spoiled == "garbage":
        (folder / "table.parquet").write_text("PAR1, but not really")
    if spoiled == "only failed":
        (folder / "1_x").mkdir()
        (folder / "1_x" / "failed.txt").write_text("no such model\n")
    before = sorted(copied.rglob("*"))
    assert page_of(str(folder)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mech_music: ")
    assert err.count("\n") == 1
    assert str(folder) in err
    assert ("no such model" in err) is (spoiled == "only failed")
    assert sorted(copied.rglob("*")) == before, "nothing is left behind"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs one folder"),
        (["a", "b", "c"], "not 3: a b c"),
        (["a", "audio=yes"], "audio='yes'"),
        (["a", "adio=0"], "unknown word adio=0; allowed: out=<file>, audio=0"),
        (["a", "b"], "no folder 'a'"),
        ([".", "."], "was given twice"),
        ([".", "out=."], "is a folder"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert page_of(*words) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_run_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mech_music.cli.job.draw", lambda summary, folder: [])
    command = CommandLine(tmp_path, monkeypatch, draws=False)
    assert command("prompts=2", "layer=last", "statistics.resamples=20", "audio.strongest=0", "audio.weakest=0") == 0
    assert f"python -m mech_music.report {command.folder / 'run'}" in capsys.readouterr().out
