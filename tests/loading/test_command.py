"""The command line on a hub cache in the published format: small widths, everything else as on the first day."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mech_music.config.paths import conf_dir
from mech_music.engine.opening import open_engine
from mech_music.store.upkeep import survey
from tests.composing import CommandLine
from tests.published import COMMIT, put_in_cache
from tests.wandb_records import finished

SHORT = (
    "prompts=2", "duration=0.5", "layer=last", "statistics.resamples=20", "engine.store=store", "engine.device=cpu",
    "design=velez2024", "engine.workers=1", "controls=[self]", "audio.strongest=1", "audio.weakest=0",
)  # fmt: skip


def command(folder: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(conf_dir().parent), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    for name in ("HF_HUB_CACHE", "AUDIOCRAFT_CACHE_DIR"):
        env.pop(name, None)
    program = [sys.executable, "-m", "mech_music.run"]
    return subprocess.run([*program, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_from_a_filled_cache_to_results(hub: Path, published: Path, tmp_path: Path) -> None:
    """The commit that was read stands in W&B's config and with the stored rows."""
    home = tmp_path / "home"
    shutil.copytree(hub, home / "hub", symlinks=True)
    put_in_cache(home / "hub", "facebook/musicgen-small", shutil.copytree(published, tmp_path / "copy"))
    words = (
        "model=small",
        f"model.revision={COMMIT}",
        "classifier=tiny",
        "model.layers=2",
        "model.heads=2",
        "hydra.run.dir=out",
    )
    done = command(tmp_path, home, *words, *SHORT)
    assert done.returncode == 0, done.stderr
    assert set(pd.read_parquet(tmp_path / "out" / "table.parquet")["model"]) == {"small"}
    source = f"facebook/musicgen-small @ {COMMIT}"
    rows = next(holding for holding in survey(tmp_path / "store") if holding.what == "clips")
    assert dict(rows.about)["source"] == source
    (folder,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    run = finished(folder)
    assert run.config["origin"]["source"] == source
    assert run.config["model"]["revision"] == COMMIT


def test_what_is_not_in_the_cache_is_one_line(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = CommandLine(tmp_path, monkeypatch)
    monkeypatch.setattr("mech_music.cli.job.open_engine", open_engine)  # the real one
    assert run("model=stereo-small", *SHORT) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("mech_music: model 'facebook/musicgen-stereo-small'")
    assert "hf download facebook/musicgen-stereo-small state_dict.bin" in said.err
