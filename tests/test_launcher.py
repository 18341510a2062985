"""Sweeps: prefetched in common passes, failures apart, the same table every time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.edits.row import Row
from tests.composing import CommandLine

SMALL = ("-m", "prompts=2", "layer=last", "statistics.resamples=20", "engine.workers=1")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    for module in ("cli.job", "results.results"):
        monkeypatch.setattr(f"mech_music.{module}.draw", lambda summary, folder, n_workers=1: [])
    return CommandLine(tmp_path, monkeypatch, draws=False)


def failures(command: CommandLine) -> dict[str, str]:
    """The reasons of the failed jobs, by job number."""
    files = (command.folder / "sweep").glob("*/failed.txt")
    return {file.parent.name.split("_")[0]: file.read_text() for file in files}


def test_a_sweep_runs_the_union_of_its_clips_first(command: CommandLine) -> None:
    assert command(*SMALL, "component=mlp,sa", "technique=replace,adjust") == 0
    prefetched, *jobs = command.engine.asked
    assert len(jobs) == 4
    assert set(prefetched) == {row for job in jobs for row in job}
    assert len(prefetched) == len(set(prefetched))
    assert len(prefetched) < sum(len(job) for job in jobs)  # baselines and controls are shared


def test_a_job_that_runs_apart_knows_the_union(
    command: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under Hydra's own launchers a job begins with the clips of all, once: it leaves word that they are there."""
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "kept"))
    assert command(*SMALL, "component=mlp,sa", "hydra/launcher=basic") == 0
    union, one, other = map(set, command.engine.asked)
    assert union == one | other and one != other
    command.engine.asked.clear()
    assert command(*SMALL, "component=mlp,ca", "hydra/launcher=basic") == 0
    union, one, other = map(set, command.engine.asked)
    assert union == one | other, "another sweep's clips are not said to be there"
    shutil.rmtree(next((tmp_path / "kept").rglob("unions")))
    command.engine.asked.clear()
    assert command(*SMALL, "component=mlp,ca", "hydra/launcher=basic") == 0
    assert len(command.engine.asked) == 3, "nor those of a store that forgot"


@pytest.mark.parametrize("launcher", ["packed", "basic"])
def test_one_table_for_the_sweep(command: CommandLine, launcher: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*SMALL, "component=mlp,sa", f"hydra/launcher={launcher}") == 0
    out = capsys.readouterr().out
    assert out.count("Tables: ") == 1
    assert str(command.folder / "sweep") in out
    table = pd.read_parquet(command.folder / "sweep" / "table.parquet")
    assert set(table["component"]) == {"", "mlp", "sa"}
    assert len(list((command.folder / "sweep").glob("[01]_*component=*/table.parquet"))) == 2


def test_a_rerun_gives_the_same_bytes(command: CommandLine) -> None:
    written = []
    for _ in range(2):
        assert command(*SMALL, "component=mlp,sa") == 0
        written.append([(command.folder / "sweep" / f"{name}.parquet").read_bytes() for name in ("table", "summary")])
    assert written[0] == written[1]


def test_a_failed_job_does_not_stop_the_others(command: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    """One job cannot be composed, one makes no sense, one finishes."""
    assert command("-m", "prompts=2", "statistics.resamples=20", "component=mpl,mlp", "layer=last,99") == 1
    assert sorted(failures(command)) == ["0", "1", "3"]
    assert "did you mean mlp?" in failures(command)["0"]
    assert "layer 99" in failures(command)["3"]
    out, err = capsys.readouterr()
    assert "guitar → piano" in out
    assert err.count("failed: ") == 3
    assert err.endswith("mech_music: 3 of 4 jobs failed, for the reasons above\n")
    assert "Traceback" not in err
    assert set(pd.read_parquet(command.folder / "sweep" / "table.parquet")["component"]) == {"", "mlp"}


def test_a_job_that_fails_while_it_runs(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The common passes fail as well; every other job then makes its own clips."""
    answers = command.engine.answers

    def failing(rows: list[Row], listeners: tuple[str, ...] = ()) -> object:
        if any("attn" in edit.hook for row in rows for edit in row.edits):
            raise UserError("no attention today")
        return answers(rows, listeners)

    monkeypatch.setattr(command.engine, "answers", failing)
    assert command(*SMALL, "component=mlp,sa,resid") == 1
    assert failures(command) == {"1": "no attention today\n"}
    assert set(pd.read_parquet(command.folder / "sweep" / "table.parquet")["component"]) == {"", "mlp", "resid"}


def test_a_sweep_over_tasks_with_an_axis_that_the_default_one_has_not(command: CommandLine) -> None:
    words = ("task=decoder_lens,interchange", "component=mlp", "layer=0", "prompts=2", "statistics.resamples=20")
    assert command("-m", *words) == 0
    words = ("task=decoder_lens,self_similarity", "concept=trumpet+rock", "layer=99", "prompts=2")
    assert command("-m", *words) == 1
    assert all("layer 99 does not exist" in reason for reason in failures(command).values()), "composed, and checked"


def test_an_experiment_is_a_sweep(command: CommandLine) -> None:
    assert command("experiment=velez2024/fig4", "model=tiny", "pair=jazz-rock", *SMALL[1:]) == 0
    table = pd.read_parquet(command.folder / "sweep" / "table.parquet")
    assert set(table["component"]) == {"", "mlp", "sa", "ca"}
    assert {"replace", "adjust"} < set(table["technique"])


def test_wandb_gets_a_run_for_each_job(command: CommandLine) -> None:
    """The run of the job that fails is there as well."""
    assert command("-m", "prompts=2", "statistics.resamples=20", "layer=last,99", "logger=wandb") == 1
    runs = sorted((command.folder / "sweep").glob("*/wandb/offline-run-*/run-*.wandb"))
    assert [run.parents[2].name.split("_")[0] for run in runs] == ["0", "1"]
