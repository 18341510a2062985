"""Forecasts from their command line, on an untrained model and pieces that a coin decides: nothing is to be found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.models.symbolic.decoder import Decoder, Shape
from mech_music.models.symbolic.files import save_decoder
from mech_music.models.symbolic.pieces import GRID
from mech_music.report.found import read_results
from mech_music.report.page import build
from mech_music.results.tables import lines_of, read_summary, read_table
from mech_music.structure.forecast.controls import position
from mech_music.structure.forecast.forecasts import columns_of, questions
from mech_music.structure.forecast.named import Annotated, AtBeats, Columns, Forecasts, Given, Sight
from mech_music.structure.forecast.probes import Probe
from mech_music.structure.forecast.rows import Clock, horizons_of
from mech_music.structure.pieces.symbolic import SymbolicPieces
from mech_music.structure.verdict import Criterion
from mech_music.tasks.horizon.columns import HORIZON
from mech_music.tasks.horizon.exported import VERDICT, given_by_edits
from tests.composing import CommandLine, compose_run
from tests.structure.made_pieces import made_pieces

WORDS = ("task=horizon", "model=symbolic-tiny")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["horizons=[-1]"], "^horizons: -1 seconds; expected numbers above 0"),
        (["horizons=[1.5]", "horizons_in=bars"], "^horizons: 1.5 bars; expected whole numbers above 0"),
        (["horizons=[]"], r"^horizons=\[\]: name some, or null for the usual ones"),
        (["window=0.01"], r"^window=0.01: expected one frame \(0.2 s\) of the model or more"),
        (["probe.folds=1"], "^probe.folds=1: expected 2 or more"),
        (["n_pieces=4"], "^n_pieces=4: expected as many as probe.folds=5, or more"),
        (["pieces.regimes=[free]"], "^unknown regime of pieces=symbolic 'free'"),
        (["+pieces.length=4"], "^unknown key of pieces=symbolic 'length'.*Allowed: regimes, seed"),
        (["component=ca"], "^component=ca: model 'symbolic-tiny' has no cross-attention"),
        (["layer=together"], "^layer=together: a lens reads one layer at a time"),
    ],
)
def test_mistakes_are_one_line(words: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        validate(compose_run(*WORDS, *words))


def test_the_job_from_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_decoder(Decoder(Shape(width=16, layers=1, heads=2), GRID), tmp_path / "model")
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    command = CommandLine(tmp_path, monkeypatch, made_up=False)
    model = [f"model.path={tmp_path / 'model'}", "model.layers=1", "model.heads=2"]
    words = [*model, "n_pieces=20", "pieces.regimes=[blind]", "horizons_in=bars", "probe.folds=2", "probe.inner=2"]
    words += ["statistics.resamples=50", "engine.workers=1", "logger=none"]
    assert command(*WORDS, "horizons=[40]", *words) == 1
    assert "horizons: 40 bars reach beyond piece 'blind-0', which has 16 bars" in capsys.readouterr().err
    assert command(*WORDS, "horizons=[2,4]", *words) == 0
    (folder,) = {path.parent for path in tmp_path.rglob("table.parquet")}
    table, summary = read_table(folder / "table.parquet"), read_summary(folder / "summary.parquet")
    assert set(table["role"]) == set(HORIZON.roles), "six controls, that of prompts and that of last moments twice"
    assert np.isfinite(table[list(HORIZON.metrics)].to_numpy()).all() and set(table["horizon"]) == {2.0, 4.0}
    lines = [line for line in lines_of(summary) if line["horizon"] == 2]
    (own,) = (line for line in lines if line["role"] == "probe")
    hardest = max(line["auc"] for line in lines if line["role"] != "probe")
    assert own["n"] == 20 and own["margin"] == pytest.approx(own["auc"] - hardest, abs=1e-9)
    verdict = pd.read_csv(folder / "verdict.csv")
    assert verdict["criterion"].tolist() == ["finds nothing"]
    bins = pd.read_csv(folder / "calibration.csv")
    rows = sum(line["rows"] for line in lines_of(table) if line["role"] == "probe")
    assert bins["rows"].to_numpy()[bins["role"] == "probe"].sum() == rows
    (piece,) = json.loads((folder / "timelines.json").read_text())
    assert piece["name"] == "blind-0" and len(piece["sections"]) == 4
    assert len(piece["forecasts"][0]["seconds"]) == len(piece["forecasts"][0]["layers"]["0"]) > 0
    assert {path.name for path in (folder / "figures").glob("*.png")} == {
        "horizon_symbolic-tiny.png", "horizon-gap_symbolic-tiny.png",
    }  # fmt: skip
    assert "blind, 20 tracks" in capsys.readouterr().out
    (found,) = read_results(folder)
    html = build(found, audio=False).html
    assert (
        '<th scope="row">blind, finds nothing</th>' in html and '"name":"blind-0"' in html and "DRAW.timelines" in html
    )


def test_what_edits_have_decided_is_read_back_from_a_jobs_folder(tmp_path: Path) -> None:
    assert given_by_edits(tmp_path) == {}
    lines = [("told", "predicts", False, "no"), ("told", "causal", True, "+1"), ("hinted", "specific", None, "open")]
    table = pd.DataFrame(lines, columns=pd.Index(["regime", "criterion", "holds", "told"]))
    table.to_csv(tmp_path / VERDICT, index=False)
    assert given_by_edits(tmp_path) == {
        "told": {"causal": Criterion("causal", True, "+1")},
        "hinted": {"specific": Criterion("specific", None, "open")},
    }


def test_last_moments_with_position_are_both_in_one_probe() -> None:
    pieces = made_pieces(24)
    (question,) = questions(pieces, horizons_of(pieces, (8.0,), Clock.beats, 0), Probe(folds=2, inner=2))
    given = Given("made", 24, SymbolicPieces.__new__(SymbolicPieces))
    at = AtBeats(given, "blocks.0.hook_resid_post", Sight.local, 4)
    beats: dict[Columns, np.ndarray] = {at: np.random.default_rng(0).normal(size=(24 * 32, 3))}
    annotated = Annotated(given, (8.0,), Clock.beats, 4)
    alone, both = (columns_of(Forecasts(annotated, at, question.probe, beside=one), question, beats)
                   for one in ("", "position"))  # fmt: skip
    np.testing.assert_array_equal(alone, beats[at][question.rows.beat])
    np.testing.assert_array_equal(both, np.hstack([alone, position(pieces, question.rows)]))
