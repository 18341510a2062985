"""Jobs by submitit on this machine, without Slurm: the same engine, store and answers; what goes wrong is one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mech_music.config.paths import conf_dir
from mech_music.config.schema import RayConfig
from mech_music.edits.row import Edit, Mean, Prompts, Row, Term
from mech_music.engine.engine import Engine
from mech_music.engine.executors.protocol import Work, WorkersFailed
from mech_music.engine.executors.ray import connected
from mech_music.engine.executors.submitit import Worker
from mech_music.engine.executors.watch import useful
from mech_music.engine.opening import open_engine
from mech_music.store import upkeep
from tests.cluster.simulated import MODEL
from tests.composing import compose_run

PROMPTS = [f"Play tune {number}." for number in range(12)]
MEAN = Mean(Prompts.of(PROMPTS[:2]))
ROWS = [Row(prompt, seed) for prompt in PROMPTS for seed in (0, 1)]
ROWS += [Row(prompt, 0, (Edit("blocks.0.hook_mlp_out", 0.0, (Term(1.0, MEAN),)),)) for prompt in PROMPTS]
HEARD = ("loudness",)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(conf_dir().parent))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


def engine(store: Path, executor: str, *words: str) -> Engine:
    run = compose_run(
        *MODEL, "duration=1", "engine.pack=8", "engine.workers=1", f"engine.store={store}",
        f"engine.executor={executor}", "engine.submitit.cluster=local", "engine.submitit.workers=2", *words,
    )  # fmt: skip
    found = open_engine(run)
    found.quiet = True
    return found


def clips_twice(store: Path) -> int:
    """Rows that were stored more than once."""
    kept = sum(holding.items for holding in upkeep.survey(store) if holding.what == "clips")
    return kept - len(engine(store, "local").store.clips)


def test_the_same_as_in_this_process(tmp_path: Path) -> None:
    """Clips, readings and a recording, by two jobs; nothing twice, and nothing left but the store."""
    alone = engine(tmp_path / "alone", "local").answers([*ROWS, MEAN], HEARD)
    shared = engine(tmp_path / "shared", "submitit")
    found = shared.answers([*ROWS, MEAN], HEARD)
    for row in ROWS:
        assert found.key(row) == alone.key(row)
        assert np.array_equal(found.tokens(row), alone.tokens(row))
        assert np.array_equal(found.reading(row, "loudness")["db"], alone.reading(row, "loudness")["db"])
    for hook, values in alone.records[MEAN].items():
        assert np.array_equal(found.records[MEAN][hook], values)
    assert clips_twice(tmp_path / "shared") == 0
    assert not list((shared.store.place / "jobs").iterdir()), "logs are kept where something failed"


def test_a_job_that_fails_at_once_names_its_log(tmp_path: Path) -> None:
    """One line, and no second try."""
    broken = engine(tmp_path, "submitit", "model._target_=tests.cluster.simulated.Broken")
    with pytest.raises(WorkersFailed, match=r"^job \d+ .*no weights here \(log: .*_log\.err\)$"):
        broken.answers(ROWS, HEARD)
    (kept,) = (broken.store.place / "jobs").iterdir()
    assert kept.stat().st_mode & 0o077 == 0, "what jobs unpickle is its owner's alone"


def test_as_many_workers_as_can_be_busy() -> None:
    assert [useful(Work(rows=ROWS[:n]), 4) for n in (0, 1, 8, 9, 32)] == [1, 1, 1, 2, 4]
    assert useful(Work(sources=[MEAN] * 3), 4) == 3 and useful(Work(rows=ROWS[:9], sources=[MEAN] * 9), 4) == 4


@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_job_runs_nothing_that_somebody_else_may_have_written(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "work"
    path.write_bytes(b"no pickle at all")
    path.chmod(mode)
    assert (
        Worker()(str(path))
        == f"'{path}' is not yours alone to write, and a worker runs what is in it: chmod go-w, or chown it"
    )
    path.chmod(0o600)
    tmp_path.chmod(0o777)
    assert "chmod go-w" in str(Worker()(str(path)))


def test_a_ray_that_is_started_here_asks_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    stand_in = SimpleNamespace(
        is_initialized=lambda: False, init=lambda **_: asked.append(os.environ.get("RAY_AUTH_MODE"))
    )
    monkeypatch.setitem(sys.modules, "ray", stand_in)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"})
    connected(RayConfig(address="auto"))
    connected(RayConfig())
    assert asked == [None, "token"]
