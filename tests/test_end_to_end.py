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

SMALL = ("prompts=4", "duration=0.4", "layer=last,together", "statistics.resamples=20", "design.mean_prompts=5")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of ``python -m mech_music.run -m …``, in a folder of its own with a store of its own."""
    folder = tmp_path_factory.mktemp("swept")
    env = {**os.environ, "PYTHONPATH": str(conf_dir().parent), "MECH_MUSIC_STORE": str(folder / "store")}
    # wandb leaves the folders of its media to the garbage collector, which is its own affair.
    warnings = ["-W", "default", "-W", "ignore::ResourceWarning"]
    command = [sys.executable, *warnings, "-m", "mech_music.run", "-m", "component=ca", *SMALL]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "guitar → piano" in done.stdout
    assert "clips" in done.stderr and "Warning" not in done.stderr
    (place,) = (folder / "multirun").glob("*/*")
    return place


def test_a_sweep(swept: Path) -> None:
    table = pd.read_parquet(swept / "table.parquet")
    assert set(table["layer"]) == {"", "7", "together"}
    assert not table["failed"].to_numpy().any()
    assert len(list(swept.glob("*/wandb/offline-run-*"))) == 2, "W&B, offline, by default"
    clip = next(swept.rglob("*_edited.wav"))
    assert soundfile.info(clip).duration == 0.4


def test_the_dashboard_names_what_the_runs_logged(swept: Path) -> None:
    """Nothing else; and every key of its sections, in which a mistyped one would else only be left out."""
    run([str(swept)], Console())
    found, keys = logged(swept), named(swept / "dashboard")
    assert keys.missing(found) == []
    values = found.summary | {key.removeprefix("together/") for key in found.summary}
    places = {"history": found.history, "summary": values, "media": found.media | {"figures/"}}
    for section in sections_of(INTERCHANGE):
        for panel in section.panels:
            assert {*panel.keys, *panel.if_logged} <= places[panel.place], section.name
    assert len(keys.history) > 30 and len(keys.summary) > 15 and len(keys.media) >= 5
