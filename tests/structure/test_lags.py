"""Attention by bars back and by interval: even attention is 1 everywhere, and scores by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.models.symbolic.attributes import controls_of
from mech_music.models.symbolic.corpora.fitting import Stretch
from mech_music.models.symbolic.decoder import Decoder, Shape
from mech_music.models.symbolic.files import save_decoder
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.models.symbolic.notes import Note
from mech_music.models.symbolic.pieces import GRID, Kind, compose
from mech_music.structure.lags.__main__ import LagsConfig, run
from mech_music.structure.lags.looking import WIDEST, look
from mech_music.structure.lags.scores import by_lag, met, periodic, sources_of

PIECES = [compose(5, number, {"form": "free", "density": "sparse"}) for number in range(5)]


def _decoder(even: bool) -> Decoder:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        decoder = Decoder(Shape(attention="plain", width=16, layers=2, heads=2, context=120), GRID).requires_grad_(
            False
        )
    for layer in decoder.blocks:
        layer.qkv.weight[:32] *= 0.0 if even else 6.0
        layer.qkv.bias[:32] *= 0.0
    return decoder.eval()


def test_even_attention_is_found_even() -> None:
    looked = look(SymbolicGenerator(_decoder(even=True)), PIECES)
    expected = looked.even[:, None, None].expand_as(looked.bars)
    torch.testing.assert_close(looked.bars, expected, equal_nan=True)
    torch.testing.assert_close(looked.intervals, looked.even_intervals[:, None, None].expand_as(looked.intervals))
    told = looked.intervals.sum(-1)
    torch.testing.assert_close(told, torch.ones_like(told))
    sums = looked.bars.nansum(-1)
    assert (sums < 1).all() and sums[..., -1, None].min() > 0.85, "the rest goes to the control tokens"


def test_attention_is_that_of_a_pass_over_all_notes() -> None:
    decoder, piece = _decoder(even=False), PIECES[0]
    looked = look(SymbolicGenerator(decoder), [piece])
    seen: list[torch.Tensor] = []
    for layer in decoder.blocks:
        layer.__dict__["_seen"] = lambda pattern: seen.append(pattern) or pattern
    notes = sorted(piece.notes)
    frames = decoder.tokens.tensor(notes, len(notes) + 1)[None]
    decoder(torch.tensor([controls_of(piece.attributes)]), frames)
    for layer, pattern in enumerate(seen):
        weights = pattern[0, :, 6:, 6:]
        for bar, back in ((7, 5), (15, 0)):
            queries = [at for at, note in enumerate(notes) if note.bar == bar]
            keys = [at for at, note in enumerate(notes) if note.bar == back]
            own = weights[:, queries][..., keys].sum(-1).mean(-1)
            torch.testing.assert_close(looked.bars[0, layer, :, bar, back], own, atol=1e-4, rtol=1e-3)
        fifths = sum(
            weights[:, q, k] for q in range(len(notes)) for k in range(q + 1) if notes[q].pitch - notes[k].pitch == 7
        )
        torch.testing.assert_close(looked.intervals[0, layer, :, WIDEST + 7], fifths / len(notes), atol=1e-4, rtol=1e-3)


def test_four_eight_and_twelve_bars_back_stand_out_by_hand() -> None:
    bars = np.full((1, 16, 16), np.nan)
    bars[0][np.tril_indices(16)] = 0.01
    for lag in (4, 8, 12):
        bars[0][np.arange(lag, 16), np.arange(16 - lag)] = 0.04
    lags = by_lag(bars)
    assert lags.shape == (1, 16) and lags[0, 8] == pytest.approx(0.04) and lags[0, 7] == pytest.approx(0.01)
    assert periodic(lags)[0] == pytest.approx(2.0)
    short = bars.copy()
    short[0, 12:] = np.nan
    assert np.isnan(periodic(by_lag(short))[0]), "a piece of twelve bars has no twelve bars back"


def test_sources_are_the_truth_the_letters_or_the_notes() -> None:
    piece = next(p for p in (compose(5, n, {"form": "free"}) for n in range(50)) if p.sections[3].kind is Kind.exact)
    found = sources_of(piece)
    assert found[12] == piece.source_of(12) is not None and found[0] is None
    decoy = next(p for p in (compose(5, n, {"form": "free"}) for n in range(50)) if p.sections[2].kind is Kind.decoy)
    assert sources_of(decoy)[8] is None, "a decoy brings nothing back"
    notes = tuple(Note(bar, 0, 0, 60 + (bar % 3), 2) for bar in range(8))
    assert sources_of(Stretch("s", 0, notes, {}, ("",) * 8)) == [None, None, None, 0, 1, 2, 3, 4]
    assert sources_of(Stretch("s", 0, notes, {}, tuple("AABB.AAA".replace(".", "C")))) == [
        *[None] * 5, 0, 1, None,
    ]  # fmt: skip


def test_returns_are_met_beyond_what_the_place_explains() -> None:
    bars = np.full((3, 16, 16), 0.05)
    sources: list[list[int | None]] = [[None] * 16 for _ in range(3)]
    sources[0][12], sources[1][12] = 0, 8
    bars[0, 12, 0] = 0.5
    bars[:, 12, 8] = 0.3
    own, null = met(bars, sources)
    assert (own[0], null[0]) == (pytest.approx(0.5), pytest.approx(0.05))
    assert own[1] == null[1] == pytest.approx(0.3), "where all look, no return is met"
    assert np.isnan(own[2])


def test_the_command_writes_tables_and_the_figure(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_decoder(Decoder(Shape(width=16, layers=1, heads=2), GRID), tmp_path / "model")
    run(LagsConfig(str(tmp_path / "model"), pieces=4, folder=str(tmp_path / "out")))
    found = json.loads((tmp_path / "out" / "lags.json").read_text())
    assert set(found["trained"]) == set(found["untrained"]) == {"all", "0.0", "0.1"}
    lags = pd.read_csv(tmp_path / "out" / "lags.csv", dtype={"layer": str})
    assert set(lags["lag"]) == set(range(16)) and set(lags["layer"]) == {"all", "0"}
    of = {name: np.asarray(lags[lags["layer"] == name]["relative"]).reshape(-1, 16) for name in ("all", "0")}
    assert (
        of["0"].shape == (2, 16)
        and np.allclose(of["all"], of["0"].mean(0))
        and (tmp_path / "out" / "lags.png").is_file()
    )


def test_too_few_pieces_are_one_line() -> None:
    with pytest.raises(UserError, match="^pieces=3: intervals are over pieces; use 4 or more"):
        run(LagsConfig(pieces=3))
