"""A task of one's own, one file and one YAML outside the package: its page, its W&B run and its dashboard."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mech_music.dashboard.__main__ import run as dashboard
from mech_music.report.__main__ import main as report
from mech_music.report.page import Page
from mech_music.results.tables import read_summary
from tests.composing import CommandLine
from tests.report.test_page import cells, part
from tests.wandb_records import finished

TASK = '''
"""How loud the made-up classifier finds clips of longer and longer prompts."""
from dataclasses import dataclass

import pandas as pd

from mech_music.config.schema import RunConfig
from mech_music.edits.row import Row
from mech_music.metrics.metric import Metric
from mech_music.results.columns import INDEX, MODEL, PROMPT, TASK, Column, Role, Schema


@dataclass
class Settings(RunConfig):
    words: int = 2


class Loud:
    name = "loud"
    settings = Settings
    schema = Schema(
        "loud",
        (Role("clip", "prompted"), Role("silent", "an empty prompt", dash=(7, 3))),
        (TASK, MODEL, Column("role", "str", "", "clip or silent"), Column("words", "int64", "", "of the prompt")),
        (INDEX, PROMPT, Column("row", "str", "", "key of the clip")),
        (Metric("energy", "nats", "the greatest logit", also="loudness"), Metric("mean", "", "the mean logit")),
    )

    def listeners(self, run):
        return ("classifier",)

    def _rows(self, run):
        for role in ("clip", "silent"):
            for index in range(run.prompts):
                yield role, index, Row("la " * run.words * (role == "clip") + str(index), run.seed)

    def plan(self, run):
        return [row for _, _, row in self._rows(run)]

    def score(self, run, answers):
        lines = []
        for role, index, row in self._rows(run):
            logits = answers.reading(row, "classifier")["logits"]
            energy = float(logits.max()) + 10 * run.words * (role == "clip")
            lines.append(
                {"task": "loud", "model": run.model.name, "role": role, "words": run.words, "index": index,
                 "prompt": row.prompt, "row": answers.key(row), "energy": energy, "mean": float(logits.mean()),
                 "failed": answers.failed(row)}
            )
        return pd.DataFrame(lines)

    def choose_clips(self, run, table):
        return []
'''
DECLARED = """
    @staticmethod
    def page():
        from dataclasses import replace
        from mech_music.report.default import default_view
        from mech_music.report.view import Chart
        chart = Chart("mine", "A chart of my own", "Mine", ("energy",), kind="mine")
        script = "DRAW.mine = (spec, lines, place) => place.append(`${lines.length} cells`);"
        return replace(default_view(Loud.schema), kind="loudness", charts=(chart,), script=script)

    @staticmethod
    def curves(summary):
        from mech_music.tracking.curves import Curves
        found = Curves("words")
        for line in summary[summary["role"] == "clip"].to_dict("records"):
            found.add(line["words"], "mine/", {"energy": line["energy"]})
        return found

    @staticmethod
    def panels(schema):
        from mech_music.dashboard.panels import Panel, Section
        return (Section("Loudness", "How loud.", (Panel("my panel", "curves", ("mine/energy",)),)),)
"""
YAML = """
# @package _global_
task:
  _target_: a_loud_task.Loud
words: 2
"""
SWEEP = ("-m", "task=loud", "words=1,2,4", "prompts=3", "statistics.resamples=20", "logger=wandb")


def swept(folder: Path, patch: pytest.MonkeyPatch, more: str) -> CommandLine:
    """The command line that made a sweep of the task; the task's config folder is ``own`` beside the sweep."""
    own = folder / "own"
    (own / "task").mkdir(parents=True)
    (own / "a_loud_task.py").write_text(TASK + more)
    (own / "task" / "loud.yaml").write_text(YAML)
    command = CommandLine(folder, patch)
    assert command("--config-dir", str(own), *SWEEP) == 0
    return command


def made(folder: Path, more: str) -> CommandLine:
    """The same, with nothing left patched and the task forgotten."""
    path = [*sys.path]
    with pytest.MonkeyPatch.context() as patch:
        command = swept(folder, patch, more)
    sys.path[:] = path
    sys.modules.pop("a_loud_task", None)
    return command


@pytest.fixture(scope="module")
def plainly(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A sweep of the task as it is."""
    return made(tmp_path_factory.mktemp("plain"), "")


@pytest.fixture(scope="module")
def declaring(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A sweep of the task that declares what is shown of it."""
    return made(tmp_path_factory.mktemp("declaring"), DECLARED)


def heard(command: CommandLine, patch: pytest.MonkeyPatch) -> Path:
    """The folder of the sweep, whose clips come from the engine that made it."""
    patch.setattr("mech_music.report.clips.open_engine", lambda run: command.engine)
    return command.folder / "sweep"


def page_of(sweep: Path, *words: str) -> Page:
    report([str(sweep), *words])
    return Page((sweep / "report.html").read_text(), 0)


def dashboard_of(sweep: Path, *words: str) -> tuple[list[str], list[str]]:
    """The names of the workspace's sections, and every key that its panels draw."""
    dashboard([str(sweep), *words], Console(quiet=True))
    spec = json.loads((sweep / "dashboard" / "workspace.json").read_text())["spec"]["section"]["panelBankConfig"]
    sections: list[dict[str, Any]] = spec["sections"]
    return [one["name"] for one in sections], [
        key for one in sections for panel in one["panels"] for key in panel["config"].get("metrics", [])
    ]


def test_its_schema_makes_its_page(plainly: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = heard(plainly, monkeypatch)
    page = page_of(sweep, "--config-dir", str(plainly.folder / "own"))
    shown, data = cells(page), part(page, "data")
    summary = read_summary(sweep / "summary.parquet").query("role == 'clip'")
    assert shown["words"].tolist() == [1, 2, 4]
    for metric in ("energy_low", "mean", "mean_high"):
        assert shown[metric].tolist() == pytest.approx(summary[metric].tolist(), rel=1e-4)
    assert shown["verdict"].tolist() == [1, 1, 1], "above its control"
    assert data["controls"] == ["silent"] and data["roles"]["silent"]["word"] == "control: an empty prompt"
    assert data["measures"]["energy"]["title"] == "energy, loudness (nats)"
    assert [chart["x"] for chart in data["view"]["charts"]] == ["words"]
    assert set(data["samples"]) == {"0", "1", "2"} and len(part(page, "sounds")) >= 6, "its clips are heard"
    assert "energy" in page.html and "task=loud" in page.html


def test_its_metrics_are_logged_and_shown_in_wandb(plainly: CommandLine) -> None:
    sweep = plainly.folder / "sweep"
    runs = [finished(folder) for folder in sweep.rglob("offline-run-*")]
    lines = [line for run in runs for line in run.history if "words" in line]
    assert sorted(line["words"] for line in lines) == [1, 2, 4]
    for line in lines:
        assert {"energy", "energy_low", "energy_high", "mean", "control/silent/energy"} <= line.keys()
    assert all(run.steps["control/silent/mean"] == "words" for run in runs)
    assert runs[0].config["meanings"]["energy"] == "the greatest logit"
    names, keys = dashboard_of(sweep, "--config-dir", str(plainly.folder / "own"))
    assert names == ["Metrics", "Figures", "Tables"]
    assert {"energy", "energy_high", "control/silent/energy", "mean"} <= set(keys)


def test_what_it_declares_is_what_is_shown(declaring: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = heard(declaring, monkeypatch)
    own = ("--config-dir", str(declaring.folder / "own"))
    page = page_of(sweep, *own)
    assert "mech_music: loudness" in page.html and "A chart of my own" in page.html
    assert "DRAW.mine = (spec" in page.html
    assert part(page, "data")["view"]["charts"][0]["kind"] == "mine"
    names, keys = dashboard_of(sweep, *own)
    assert names == ["Loudness", "Figures", "Tables"] and keys == ["mine/energy"]


def test_without_its_folder_the_numbers_are_there(
    declaring: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its table carries the schema; nothing is imported for it, and one line says what is missing."""
    sweep = heard(declaring, monkeypatch)
    page = page_of(sweep)
    assert cells(page)["words"].tolist() == [1, 2, 4]
    assert "a_loud_task" not in sys.modules
    assert part(page, "data")["samples"] == {}
    said = capsys.readouterr().out
    assert said.count("task loud is not known here") == 1 and "--config-dir" in said


def test_a_folder_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report([str(tmp_path), "--config-dir", str(tmp_path / "nowhere")])
    err = capsys.readouterr().err
    assert "nowhere" in err and err.count("\n") == 1
