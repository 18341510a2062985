"""A task, a technique, a metric and a control of one's own: each one YAML, with one Python file where it computes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.config.paths import config_folders, options
from mech_music.results.columns import Schema
from mech_music.results.figures import draw_all
from mech_music.results.tables import read_summary, read_table, schema_of
from mech_music.results.terminal import terminal_table
from tests.composing import CommandLine

TOY = '''
"""How loud the made-up classifier finds clips of each length."""
from dataclasses import dataclass

import pandas as pd

from mech_music.config.schema import RunConfig
from mech_music.edits.row import Row
from mech_music.base.errors import UserError
from mech_music.metrics.metric import Metric
from mech_music.results.columns import INDEX, MODEL, PROMPT, SEED, TASK, Column, Role, Schema


@dataclass
class Settings(RunConfig):
    words: int = 2

    def check(self):
        if self.words < 1:
            raise UserError(f"words={self.words}: expected 1 or more")


class Toy:
    name = "toy"
    settings = Settings
    schema = Schema(
        "toy",
        (Role("clip", "prompted"), Role("silent", "an empty prompt")),
        (TASK, MODEL, Column("role", "str", "", "clip or silent"), Column("words", "int64", "", "of the prompt"), SEED),
        (INDEX, PROMPT),
        (Metric("energy", "nats", "the greatest logit", also="loudness"),),
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
            lines.append(
                {"task": "toy", "model": run.model.name, "role": role, "words": run.words, "seed": run.seed,
                 "index": index, "prompt": row.prompt, "energy": float(logits.max()), "failed": answers.failed(row)}
            )
        return pd.DataFrame(lines)

    def choose_clips(self, run, table):
        return []
'''
TOY_YAML = """
# @package _global_
task:
  _target_: a_toy_task.Toy
words: 2
"""
METRIC = '''
import numpy as np


def sharpness(heard):
    """Greatest logit over the mean one, edited less unedited; the original concept must be among the labels."""
    assert heard.original.labels[0] < heard.before.shape[1] and len(heard.prompts) == len(heard.before)
    return heard.after.max(axis=1) - heard.before.max(axis=1)
'''
METRIC_YAML = """
_target_: a_sharp_metric.sharpness
word: sharpness
unit: nats
meaning: how much the greatest logit grows
also: peakedness
"""
TECHNIQUE_YAML = """
name: halve
scale: 0.5
shift: {desired: 0.5}
"""
CONTROL_YAML = """
technique: adjust
word: half of it
meaning: Half of the edit.
colour: "#123456"
dash: [7, 3]
marker: s
"""
FILES = {
    "a_toy_task.py": TOY,
    "task/toy.yaml": TOY_YAML,
    "a_sharp_metric.py": METRIC,
    "metric/sharp.yaml": METRIC_YAML,
    "technique/halve.yaml": TECHNIQUE_YAML,
    "control/half-way.yaml": CONTROL_YAML,
}
Command = Callable[..., int]
SMALL = ("prompts=3", "statistics.resamples=20")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A user's config folder, which is forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    path = [*sys.path]
    yield tmp_path / "own"
    sys.path[:] = path
    for name in ("a_toy_task", "a_sharp_metric"):
        sys.modules.pop(name, None)


@pytest.fixture
def command(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    line = CommandLine(tmp_path, monkeypatch)
    return lambda *words: line("--config-dir", str(own), *words, *SMALL)


def test_a_task_runs(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("task=toy", "words=3") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "toy, model tiny" in out and "energy, loudness (nats)" in out and "±" in out
    table = read_table(tmp_path / "run" / "table.parquet")
    assert table["words"].tolist() == [3] * 6 and table["role"].tolist() == ["clip"] * 3 + ["silent"] * 3
    assert [path.name for path in sorted((tmp_path / "run" / "figures").iterdir())] == ["toy_seed.png", "toy_seed.svg"]
    words = (tmp_path / "run" / "figures" / "toy_seed.svg").read_text()
    assert "energy, loudness (nats)" in words and "control: an empty prompt" in words


def test_a_task_is_swept(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("-m", "task=toy,interchange", "layer=last") == 1
    assert "layer means nothing to task=toy; it belongs to" in capsys.readouterr().err
    assert command("-m", "task=toy", "words=1,2,4") == 0
    out = capsys.readouterr().out
    summary = read_summary(tmp_path / "sweep" / "summary.parquet")
    assert sorted(summary["words"]) == [1, 1, 2, 2, 4, 4]
    for line in summary.to_dict("records"):
        assert f"{line['energy']:.2f}" in out
    assert (tmp_path / "sweep" / "figures" / "toy_words.png").is_file()


def test_a_tasks_own_axes_are_typed_and_checked(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    for words, line in {
        ("words=many",): "words=many: expected a whole number",
        ("words=0",): "words=0: expected 1 or more",
        ("wrds=3",): "unknown key 'wrds'; did you mean words?",
        (
            "pair=jazz-rock",
        ): "pair means nothing to task=toy; it belongs to interchange, patching and sae_steer. Axes of toy: words",
    }.items():
        assert command("task=toy", *words) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"mech_music: {line}") and err.count("\n") == 1
    assert command("words=3") == 1
    assert "words means nothing to task=interchange; it belongs to toy." in capsys.readouterr().err


def test_an_unknown_table_shows_itself(command: Command, tmp_path: Path) -> None:
    """Whoever has the file only sees its schema, and it is drawn and shown."""
    assert command("-m", "task=toy", "words=1,2") == 0
    assert "toy" not in options("task"), "forgotten here"
    summary = read_summary(tmp_path / "sweep" / "summary.parquet")
    schema = schema_of(summary)
    assert (schema.task, schema.roles, schema.metric("energy").also) == ("toy", ("clip", "silent"), "loudness")
    assert [path.name for path in draw_all(summary, tmp_path / "again")] == ["toy_words.png", "toy_words.svg"]
    again, first = (tmp_path / place / "toy_words.svg" for place in ("again", "sweep/figures"))
    assert again.read_bytes() == first.read_bytes()
    console = Console(width=100, file=StringIO())
    console.print(terminal_table(summary, 100))
    assert "energy, loudness (nats)" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_technique_a_metric_and_a_control(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("technique=halve", "metrics=[sharp]", "controls=[self,noise,half-way]", "layer='0,3,7'")
    assert command(*words) == 0
    out = capsys.readouterr().out
    summary = read_summary(tmp_path / "run" / "summary.parquet")
    schema = schema_of(summary)
    assert schema.roles == ("technique", "self", "other", "random", "noise", "half-way")
    assert schema.role("half-way").dash == (7.0, 3.0) and schema.role("half-way").colour == "#123456"
    assert (schema.metrics[-1], schema.metric("sharp").unit) == ("sharp", "nats")
    lines = summary.query("role == 'technique'")
    assert set(lines["technique"]) == {"halve"} and np.isfinite(lines["sharp"].to_numpy()).all()
    assert len(summary.query("role == 'half-way'")) == 3
    for said in ("sharpness, peakedness (nats)", "how much the greatest logit grows", "half-way", "halve"):
        assert said in " ".join(out.split()), said
    drawn = (tmp_path / "run" / "figures" / "layers_guitar-piano_mlp_halve_tiny.svg").read_text()
    assert "sharpness, peakedness (nats)" in drawn and "control: half of it" in drawn
    assert "#123456" in drawn


@pytest.mark.parametrize("launcher", ["packed", "basic"])
def test_in_a_sweep_under_every_launcher(command: Command, tmp_path: Path, launcher: str) -> None:
    """One job has the metric, the other has not: the sweep's table has it, empty where it was not measured."""
    words = ("technique=halve,replace", "metrics=[sharp],[]", "layer=last", "controls=[half-way]")
    assert command("-m", f"hydra/launcher={launcher}", *words) == 0
    table = read_table(tmp_path / "sweep" / "table.parquet")
    assert np.isfinite(table["sharp"].to_numpy()).any() and set(table["role"]) == {"technique", "half-way"}


def test_a_folder_that_cannot_be_used_is_one_line(
    command: Command, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "a_toy_task.py").write_text("import a_module_that_is_not_there")
    (own / "metric" / "sharp.yaml").write_text("_target_: a_sharp_metric.blunt")
    (own / "control" / "half-way.yaml").write_text("technique: halve\ncolor: red")
    for words, said in {
        ("task=toy",): "_target_=a_toy_task.Toy cannot be found (ModuleNotFoundError",
        ("metrics=[sharp]",): "_target_=a_sharp_metric.blunt cannot be found",
        ("controls=[half-way]",): "control/half-way.yaml' cannot be read",
    }.items():
        assert command(*words) == 1
        err = capsys.readouterr().err
        assert err.startswith("mech_music: ") and said in err and err.count("\n") == 1
    with pytest.raises(UserError, match="needs the column 'energy'"):
        _needs_a_column()


def _needs_a_column() -> None:
    from mech_music.results.tables import needing

    schema = Schema("toy", (), (), (), ())
    with needing("the figure of energies", schema.attach(pd.DataFrame({"task": ["toy"]}))):
        raise KeyError("energy")


def test_files_carry_their_schema_in_the_same_bytes(command: Command, tmp_path: Path) -> None:
    assert command("task=toy") == 0
    path = tmp_path / "run" / "table.parquet"
    first = path.read_bytes()
    metadata = pq.read_schema(path).metadata
    assert Schema.from_json(metadata[b"mech_music.schema"].decode()).task == "toy"
    assert command("task=toy") == 0
    assert path.read_bytes() == first
    assert config_folders()[1:] == [], "the user's folder is forgotten with the command"
