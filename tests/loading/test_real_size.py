"""The first day on a GPU machine, but for the weights' values and the GPU: musicgen-small's, T5-base's, EnCodec's and
PaSST's exact shapes, from files in the published format to figures, through the command line.

Slow (minutes) and large (2.4 GB of files, 4 GB of memory): `make test-slow`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mech_music.config.paths import conf_dir
from mech_music.models.musicgen.footprint import CODEC_PARAMETERS, PUBLISHED, T5_PARAMETERS
from mech_music.models.musicgen.loading import FILES
from tests.published import SMALL, make_hub, make_passt, make_published

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``HF_HOME``, and beside it the checkpoint and the classifier."""
    home = tmp_path_factory.mktemp("home")
    make_hub(home, SMALL)
    make_published(home / "musicgen-small", SMALL)
    make_passt(home / "passt.pt")
    return home


def process(home: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(conf_dir().parent), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    env.pop("HF_HUB_CACHE", None)
    env.pop("OMP_NUM_THREADS", None)
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=1800)


def test_files_have_the_published_sizes(home: Path) -> None:
    assert (home / "musicgen-small" / FILES[0]).stat().st_size == pytest.approx(841e6, rel=0.01)
    sizes = {file.name: file.stat().st_size for file in home.glob("hub/models--*/snapshots/*/*.safetensors")}
    assert sorted(file.stat().st_size for file in home.glob("hub/*/snapshots/*/*.safetensors")) == [
        pytest.approx(236e6, rel=0.01), pytest.approx(892e6, rel=0.01)
    ], sizes  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_loading_takes_little_more_than_the_weights(home: Path, tmp_path: Path, dtype: str) -> None:
    done = process(home, tmp_path, "-m", "tests.loading.real_size", str(home / "musicgen-small"), dtype)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    expected = PUBLISHED["small"].weight_bytes(dtype) + 4 * (T5_PARAMETERS + CODEC_PARAMETERS)
    assert measured["weights"] == pytest.approx(expected, rel=0.001)
    assert 0.5 * measured["weights"] < measured["peak"] < 1.2 * measured["weights"], measured
    assert measured["lm_weights"] < measured["lm_peak"] < 1.2 * measured["lm_weights"], measured


def test_from_files_to_figures(home: Path, tmp_path: Path) -> None:
    """One job of the paper's main experiment, short; the second time, everything is found in the store."""
    words = [
        "-m", "mech_music.run", "model=small", f"model.path={home / 'musicgen-small'}",
        f"classifier.path={home / 'passt.pt'}", "prompts=2", "duration=0.5", "layer=last", "component=ca",
        "design=velez2024",
        "statistics.resamples=20", "logger=none", f"engine.store={tmp_path / 'store'}", "hydra.run.dir=out",
        "engine.device=cpu", "model.dtype=bfloat16",
    ]  # fmt: skip
    done = process(home, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "out" / "table.parquet")
    assert set(table["model"]) == {"small"} and set(table["classifier"]) == {"passt"}
    assert len(set(table["prompt"])) == 2
    assert list((tmp_path / "out" / "figures").glob("*.png")) and list((tmp_path / "out" / "audio").glob("*.wav"))
    again = process(home, tmp_path, *[word.replace("run.dir=out", "run.dir=again") for word in words])
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "again" / "table.parquet"))
