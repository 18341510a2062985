"""The tasks of features run on a symbolic model by their commands: an untrained one, short clips, few features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mech_music.models.symbolic.decoder import Decoder, Shape
from mech_music.models.symbolic.files import save_decoder
from mech_music.models.symbolic.pieces import GRID
from mech_music.results.tables import read_table
from mech_music.saes.monosemanticity import clusters_of
from tests.composing import CommandLine

SAE = ["sae.width=16", "sae.k=2", "sae.clips=12", "sae.held_out=4", "sae.epochs=1", "sae.batch=32", "sae.spliced=2"]
EVALUATION = ["evaluation.draws=20", "evaluation.seeds=0", "evaluation.clusters=16", "browser.features=0"]
COMMANDS = {
    "decoder_lens": ["task=decoder_lens", "prompts=2"],
    "interchange": ["pair=low-high", "component=resid", "layer=1", "prompts=2"],
    "sae": ["task=sae", "layer=1", *SAE, *EVALUATION, "prompts=8"],
    "sae_steer": ["task=sae_steer", "layer=1", "pair=low-high", *SAE, "features=[2]", "choice_prompts=2", "prompts=2"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_task_runs_on_notes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_decoder(Decoder(Shape(width=16, layers=2, heads=2), GRID), tmp_path / "model")
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    words = [f"model.path={tmp_path / 'model'}", "model.layers=2", "model.heads=2", "duration=3", "engine.workers=1"]
    words += ["statistics.resamples=20", "audio.strongest=0", "logger=none"]
    assert CommandLine(tmp_path, monkeypatch, made_up=False)("model=symbolic-tiny", *words, *COMMANDS[name]) == 0
    (file,) = tmp_path.rglob("table.parquet")
    table = read_table(file)
    assert len(table) and set(table["model"]) == {"symbolic-tiny"}


def test_tokens_that_are_all_alike_are_one_cluster() -> None:
    """As those that a codebook of a symbolic model does not use: more clusters than different rows is a warning."""
    rows = np.random.default_rng(0).normal(size=(2, 20, 3))
    rows[0, 5:] = 1.0
    found = clusters_of(rows, 8)
    assert len(set(found[0])) == 6 and len(set(found[0][5:])) == 1 and len(set(found[1])) == 8
