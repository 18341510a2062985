"""The command line of the benchmarks, end to end on its smallest size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mech_music.base.errors import UserError
from mech_music.benchmarks.__main__ import run
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.config import CARD, BenchmarksConfig, register
from mech_music.benchmarks.measure import Timing
from mech_music.benchmarks.table import Line, compare, page_name
from mech_music.config.paths import conf_dir


def test_cheap_benchmarks_write_their_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register()
    with initialize_config_dir(str(conf_dir() / "benchmarks"), version_base="1.3"):
        shorter = [f"{name}.tiny_frames=4" for name in ("edits", "lenses", "saes")]
        words = ["size=quick", "only=[edits,lenses,saes]", "device=cpu", "edits.random_frames=4", *shorter]
        config = OmegaConf.to_object(compose("config", words))
    assert isinstance(config, BenchmarksConfig)
    run(config, tmp_path)
    saved = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [line["benchmark"] for line in saved["lines"]] == ["edits"] * 10 + ["lenses"] * 2 + ["saes"] * 3
    assert {"date", "CPU", "GPU", "cores", "torch", "threads", "commit"} <= saved["header"].keys()
    for line in saved["lines"]:
        (first,), (second,) = line["rounds"]
        assert line["ratio"]["median"] == pytest.approx(first / second)
        assert second > 0
    assert (tmp_path / "benchmarks.md").read_text().count("| edits |") == 10
    assert "mech_music benchmarks" in capsys.readouterr().out


def test_what_a_card_is_asked_runs_on_a_cpu_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest ``make gpu``: every token equal in a pass and alone, static and traced; memory as computed."""
    monkeypatch.chdir(tmp_path)
    register()
    with initialize_config_dir(str(conf_dir() / "benchmarks"), version_base="1.3"):
        words = ["size=quick", "only=[parity,fit,throughput,grid]", "device=cpu", "page=cards", "grid.rows=2"]
        config = OmegaConf.to_object(compose("config", words))
        card = compose("config", ["size=gpu"])
    assert isinstance(config, BenchmarksConfig)
    assert card.device == "cuda" and set(CARD) < set(card.only) and next(one.name for one in card.shapes) == "small"
    run(config, tmp_path)
    lines = json.loads((tmp_path / "benchmarks.json").read_text())["lines"]
    found = {name: [line for line in lines if line["benchmark"] == name] for name in CARD}
    assert [len(found[name]) for name in CARD] == [8, 2, 6, 3]
    for line in found["parity"]:
        assert line["rounds"] == [[100.0], [100.0]] and line["note"] == "4 of 4 rows wholly equal; 0 not finite"
    for line in found["fit"]:
        assert line["ratio"]["median"] == 1
    traced = found["grid"][1]["rounds"]
    hours, parts = found["grid"][0]["rounds"], found["grid"][2]["rounds"]
    assert hours[1] == traced[1] == [pytest.approx(parts[0][0] + parts[1][0])], "what is heard counts"
    assert (tmp_path / "cards" / "cpu.md").read_text().startswith("# CPU, measured")
    assert page_name("NVIDIA H200") == "nvidia-h200.md"


def test_a_failure_leaves_the_others_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = compare("limit", "what", Timing("a", (1.0,)), Timing("b", (2.0,)))

    def fail(bench: Bench) -> list[Line]:
        raise UserError("no memory")

    monkeypatch.setattr("mech_music.benchmarks.edits.run", fail)
    monkeypatch.setattr("mech_music.benchmarks.limit.run", lambda bench: [line])
    with pytest.raises(UserError, match="^failed: edits"):
        run(BenchmarksConfig(only=["edits", "limit"], device="cpu"), tmp_path)
    assert [line["benchmark"] for line in json.loads((tmp_path / "benchmarks.json").read_text())["lines"]] == ["limit"]


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("only=edits,decod", "unknown benchmark 'decod'; did you mean decode? Allowed: reference, decode"),
        ("rounds=0", "rounds=0: expected at least 1"),
        ("round=2", "unknown key 'round'; did you mean rounds?"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path, word: str, answer: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(conf_dir().parent)}
    command = [sys.executable, "-m", "mech_music.benchmarks", word]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"mech_music: {answer}")
    assert list(tmp_path.iterdir()) == []
