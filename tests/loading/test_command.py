"""The command line on a hub cache in the published format: small widths, everything else as on the first day."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from mech_music.paths import conf_dir
from mech_music.store.upkeep import survey
from tests.published import COMMIT, put_in_cache
from tests.wandb_records import finished

SHORT = (
    "prompts=2", "duration=0.5", "layer=last", "statistics.resamples=20", "hydra.run.dir=out", "engine.store=store",
    "engine.device=cpu", "engine.workers=1",
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
    words = ("model=small", f"model.revision={COMMIT}", "classifier=tiny", "model.layers=2")
    done = command(tmp_path, home, *words, *SHORT)
    assert done.returncode == 0, done.stderr
    assert set(pd.read_parquet(tmp_path / "out" / "table.parquet")["model"]) == {"small"}
    source = f"facebook/musicgen-small @ {COMMIT}"
    rows = next(holding for holding in survey(tmp_path / "store") if holding.what == "rows")
    assert dict(rows.about)["source"] == source
    (folder,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    run = finished(folder)
    assert run.config["voice"]["source"] == source
    assert run.config["model"]["revision"] == COMMIT


def test_what_is_not_in_the_cache_is_one_line(hub: Path, tmp_path: Path) -> None:
    done = command(tmp_path, hub.parent, "model=stereo-small", *SHORT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("mech_music: model 'facebook/musicgen-stereo-small'")
    assert "hf download facebook/musicgen-stereo-small state_dict.bin" in done.stderr
    assert done.stderr.count("\n") == 1
