"""The real program on the bundled model, as a user starts it; small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from rich.console import Console

from mech_music.config.paths import conf_dir
from mech_music.dashboard.__main__ import run
from mech_music.dashboard.panels import sections_of
from mech_music.tasks.interchange.columns import INTERCHANGE
from tests.dashboard.keys import logged, named

SMALL = ("prompts=4", "duration=0.4", "layer=last,together", "statistics.resamples=20")


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """``python -m mech_music.run <words>`` in ``folder``, with a store of its own."""
    env = {**os.environ, "PYTHONPATH": str(conf_dir().parent), "MECH_MUSIC_STORE": str(folder / "store")}
    # wandb leaves the folders of its media to the garbage collector, which is its own affair.
    warnings = ["-W", "default", "-W", "ignore::ResourceWarning"]
    command = [sys.executable, *warnings, "-m", "mech_music.run", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True)


def results(folder: Path, place: str, name: str) -> list[Path]:
    """Files of that name among the results of each run, oldest first."""
    return sorted((folder / place).glob(f"*/*/{name}"))


def sweep(folder: Path, passes: bool, *words: str) -> bytes:
    """The bytes of a sweep's table; ``passes``: whether clips have to be made for it."""
    before = results(folder, "multirun", "table.parquet")
    process = start(folder, "-m", "component=ca", *SMALL, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "guitar → piano" in out
    assert ("clips" in err) is passes, err
    assert "Warning" not in err
    (table,) = set(results(folder, "multirun", "table.parquet")) - set(before)
    return table.read_bytes()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A folder with a finished sweep and its store, and the bytes of the sweep's table."""
    folder = tmp_path_factory.mktemp("swept")
    return folder, sweep(folder, passes=True)


def test_a_sweep(swept: tuple[Path, bytes]) -> None:
    folder, _ = swept
    table = pd.read_parquet(results(folder, "multirun", "table.parquet")[0])
    assert set(table["layer"]) == {"", "7", "together"}
    assert not table["failed"].to_numpy().any()
    assert len(list((folder / "multirun").glob("*/*/*/wandb/offline-run-*"))) == 2, "W&B, offline, by default"
    clip = next((folder / "multirun").rglob("*_edited.wav"))
    assert soundfile.info(clip).duration == 0.4


def test_the_dashboard_names_what_the_runs_logged(swept: tuple[Path, bytes]) -> None:
    """Nothing else; and every key of its sections, in which a mistyped one would else only be left out."""
    (folder,) = (swept[0] / "multirun").glob("*/*")
    run([str(folder)], Console())
    found, keys = logged(folder), named(folder / "dashboard")
    assert keys.missing(found) == []
    values = found.summary | {key.removeprefix("together/") for key in found.summary}
    places = {"history": found.history, "summary": values, "media": found.media | {"figures/"}}
    for section in sections_of(INTERCHANGE):
        for panel in section.panels:
            assert {*panel.keys, *panel.if_logged} <= places[panel.place], section.name
    assert len(keys.history) > 30 and len(keys.summary) > 15 and len(keys.media) >= 5


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_the_same_from_the_store_in_other_processes(swept: tuple[Path, bytes], launcher: str) -> None:
    folder, table = swept
    assert sweep(folder, False, f"hydra/launcher={launcher}", "logger=none") == table
