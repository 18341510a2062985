"""Attentions compared: the loss of held-out pieces by hand, pairs of pieces, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.models.symbolic import compare
from mech_music.models.symbolic.attributes import controls_of
from mech_music.models.symbolic.corpora.registry import CorpusConfig, load
from mech_music.models.symbolic.decoder import Decoder, Shape
from mech_music.models.symbolic.held_out import compared, nats_of_pieces
from mech_music.models.symbolic.settings import CompareConfig
from mech_music.tiny.config import LoopConfig
from tests.structure.made_songs import song_folder


def _songs(folder: Path) -> CorpusConfig:
    for number in range(8):
        song_folder(folder, f"{number:03d}")
    return CorpusConfig("pop909", path=str(folder), held_out=0.5)


@pytest.mark.parametrize("tokens", ["note", "event"])
def test_nats_of_a_piece_are_those_of_its_tokens(tmp_path: Path, tokens: str) -> None:
    corpus = load(_songs(tmp_path))
    decoder = Decoder(Shape(tokens, width=16, layers=1, heads=2, context=700), corpus.grid).eval()
    found = nats_of_pieces(decoder, corpus.held_out)
    assert list(found["piece"]) == corpus.manifest["held_out_pieces"]
    for line in found.to_dict("records"):
        nats, notes = 0.0, 0
        for one in (own for own in corpus.held_out if own.score == line["piece"]):
            frames = torch.tensor(decoder.tokens.encode(one.notes)).reshape(1, -1, decoder.tokens.n_codebooks).mT
            chances = decoder(torch.tensor([controls_of(one.attributes)]), frames).log_softmax(-1)
            nats -= chances.gather(-1, frames[..., None]).sum().item()
            notes += len(one.notes)
        assert (line["nats"], line["notes"]) == (pytest.approx(nats, rel=1e-4), notes)


def test_differences_are_of_the_same_pieces_and_seeds() -> None:
    random = np.random.default_rng(0)
    hard = {piece: random.normal(4, 1) for piece in "abcdefghijkl"}
    lines = [
        (name, seed, piece, 10 * (own + by + 0.01 * random.normal() + 0.5 * (seed == 9)), 10)
        for name, by in (("plain", 0.0), ("ripo", -0.1))
        for seed in ((1, 2, 9) if name == "plain" else (1, 2))
        for piece, own in hard.items()
    ]
    best, plain = compared(pd.DataFrame(lines, columns=["attention", "seed", "piece", "nats", "notes"]), "plain")
    assert (best.attention, plain.attention, set(best.seeds)) == ("ripo", "plain", {1, 2})
    assert best.less.low < -0.1 < best.less.high < -0.08, "pieces are as different as ten such differences"
    assert best.loss.high - best.loss.low > 0.5 and plain.less.mean == 0.0


def test_the_command_trains_compares_and_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = CompareConfig(
        folder=str(tmp_path / "out"),
        shape=Shape(width=16, layers=1, heads=2, context=60),
        loop=LoopConfig(steps=1, batch=2),
        corpus=_songs(tmp_path / "songs"),
        attentions=["plain", "circular-hadamard"],
        seeds=[1, 2],
    )
    compare.run(config)
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert {one["attention"] for one in written["attentions"]} == {"plain", "circular-hadamard"}
    assert all(set(one["seeds"]) == {"1", "2"} for one in written["attentions"]) and "MIT" in written["licence"]
    first = (tmp_path / "out" / "held_out.csv").read_bytes()

    def fail(*_: object) -> None:
        raise AssertionError("it is trained again")

    monkeypatch.setattr("mech_music.tiny.loop.train", fail)
    compare.run(config)
    assert (tmp_path / "out" / "held_out.csv").read_bytes() == first
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (CompareConfig(), "^corpus=planted: attentions are compared on held-out pieces"),
        (CompareConfig(corpus=CorpusConfig("folk"), attentions=["Plain"]), "^unknown attention 'Plain'; did you mean"),
        (CompareConfig(corpus=CorpusConfig("folk"), seeds=[]), r"^attentions=\[\] or seeds=\[\]"),
    ],
)
def test_mistakes_are_one_line(config: CompareConfig, line: str) -> None:
    with pytest.raises(UserError, match=line):
        compare.run(config)
