"""Continuation: the measures by hand, what is given, and the job from its command line on an untrained model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.edits.row import Row
from mech_music.models.symbolic.corpora.fitting import Stretch
from mech_music.models.symbolic.corpora.registry import CorpusConfig, load
from mech_music.models.symbolic.decoder import Decoder, Shape
from mech_music.models.symbolic.files import read_card, save_decoder
from mech_music.models.symbolic.notes import Note
from mech_music.models.symbolic.pieces import GRID, Kind
from mech_music.models.symbolic.settings import SymbolicConfig
from mech_music.models.symbolic.tokens import NoteTokens
from mech_music.models.symbolic.training import card_of
from mech_music.prompts.declared import load_prompt_set
from mech_music.results.tables import read_table
from mech_music.tasks.continuation.measures import measure, ratio_interval
from mech_music.tasks.continuation.pieces import cases, rows_of
from tests.composing import CommandLine, compose_run
from tests.structure.made_songs import song_folder

TRUE = [Note(15, 0, 0, 60, 2), Note(15, 4, 0, 64, 2), Note(15, 0, 1, 36, 8)]


def test_measures_by_hand() -> None:
    same = measure([note.moved(bars=-3) for note in TRUE], TRUE, 8)
    assert {name: pytest.approx(value) for name, value in same.items()} == dict.fromkeys(same, 1.0)
    found = [Note(15, 0, 0, 60, 1), Note(15, 4, 0, 65, 2), Note(15, 0, 1, 36, 8)]
    of = measure(found, TRUE, 8)
    assert of["f1n"] == pytest.approx(2 / 3), "lengths do not count"
    assert of["f1p"] == pytest.approx(2 * 9 / (11 + 12))
    assert of["gs"] == pytest.approx(1.0)
    assert of["cs"] == pytest.approx((1 + 1 / 2) / 2), "C alone in the first half; C with F for E in the second"
    assert of["prs"] == pytest.approx(1 - 1 / 127)
    none = measure([], TRUE, 8)
    assert [none[name] for name in ("f1n", "f1p", "gs", "cs")] == [0, 0, 0, 0]
    assert measure([], [], 8)["f1n"] == 1


def test_the_ratio_of_means_has_an_interval_that_covers_it() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        of = ratio_interval(random.beta(3, 2, 60), random.beta(1, 5, 40), 400, 0.95, trial)
        covered += of["low"] <= 0.6 / (1 / 6) <= of["high"]
    assert covered >= 88


def test_what_is_given() -> None:
    tokens, study = NoteTokens(GRID), load_prompt_set("symbolic")
    found = cases(study, "free", 3)
    assert [case.kind for case in found] == [kind for kind in Kind for _ in range(3)]
    for case in found:
        rows = rows_of(case, tokens, 160, 0)
        given = {role: tokens.decode(_frames(row)) for role, row in rows.items()}
        assert given["own"] == [note for note in case.piece.notes if note.bar < 15]
        assert given["true-own"] == list(case.piece.notes)
        early = [note for note in given["swapped"] if note.bar < 12]
        assert early == [note for note in case.other.notes if note.bar < 12]
        assert [note for note in given["swapped"] if note.bar >= 12] == [n for n in given["own"] if n.bar >= 12]
        assert case.piece.attributes == case.other.attributes and case.piece.notes != case.other.notes
        assert "free form" in case.prompt


def _frames(row: Row) -> torch.Tensor:
    assert row.prefix is not None
    return torch.tensor(row.prefix.tokens)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=tiny"], "^task=continue: model 'tiny' makes no notes; use model=symbolic-tiny"),
        (["form=blind"], "^unknown form 'blind'; .*Allowed: free, cued, told"),
        (["duration=8"], "^duration=8 is 40 tokens, and a piece has up to 160: use duration=32"),
        (["engine.keep_tokens=false"], "^engine.keep_tokens=false: task=continue compares tokens"),
    ],
)
def test_mistakes_are_one_line(words: list[str], line: str) -> None:
    with pytest.raises(UserError, match=line):
        validate(compose_run("task=continue", "model=symbolic-tiny", *words))


def _of_songs(folder: Path) -> Path:
    """An untrained model of songs that people labelled, with its card."""
    for number in range(8):
        song_folder(folder / "songs", f"{number:03d}")
    corpus = CorpusConfig("pop909", path=str(folder / "songs"), held_out=0.5)
    config = SymbolicConfig(folder=str(folder / "run"), corpus=corpus)
    decoder = Decoder(Shape(width=16, layers=1, heads=2, context=240), load(corpus).grid)
    save_decoder(decoder, folder / "model", card_of(config))
    return folder / "model"


def _words(model: Path) -> list[str]:
    words = ["model=symbolic-tiny", "task=continue", f"model.path={model}", "model.layers=1", "model.heads=2"]
    return [*words, "prompts=3", "duration=48"]


def test_a_model_of_a_corpus_continues_its_held_out_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _of_songs(tmp_path)
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    command = CommandLine(tmp_path, monkeypatch, made_up=False)
    more = ["engine.workers=1", "statistics.resamples=20", "audio.strongest=0", "logger=none"]
    assert command(*_words(model), *more) == 0
    (folder,) = {path.parent for path in tmp_path.rglob("table.parquet")}
    table = read_table(folder / "table.parquet")
    assert len(table) == 3 * 3 and set(table["kind"]) == {"return"}, "A4B4A4: A returns"
    card = read_card(model)
    run = compose_run(*_words(model))
    run.check()
    for case in run.cases():
        assert isinstance(case.piece, Stretch) and case.piece.score in card["held_out_pieces"]
        assert max(note.bar for note in case.own) == case.last - 1 and case.other.score != case.piece.score
        assert case.prompt == "A piece in four-four time."


def test_a_corpus_that_is_another_one_now_is_one_line(tmp_path: Path) -> None:
    model = _of_songs(tmp_path)
    with pytest.raises(UserError, match="^form=told: only planted pieces have forms, and this model is of pop909"):
        validate(compose_run(*_words(model), "form=told"))
    with pytest.raises(UserError, match="^duration=8 is 40 tokens, and a piece has up to"):
        validate(compose_run(*_words(model), "duration=8"))
    card = read_card(model)
    (model / "card.json").write_text(json.dumps(card | {"digest": "other"}))
    with pytest.raises(UserError, match="^corpus pop909 is not what this model was trained on"):
        validate(compose_run(*_words(model)))
    (model / "card.json").write_text("{}")
    with pytest.raises(UserError, match="card.json' cannot be read"):
        validate(compose_run(*_words(model)))


def test_the_job_from_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An untrained model: no return is copied, every control is there; tables, figures, sound and the ratio."""
    save_decoder(Decoder(Shape(width=32, layers=1, heads=2), GRID), tmp_path / "model")
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    command = CommandLine(tmp_path, monkeypatch, made_up=False)
    words = [f"model.path={tmp_path / 'model'}", "model.layers=1", "model.heads=2", "prompts=2", "engine.workers=1"]
    words += ["statistics.resamples=20", "audio.strongest=1", "logger=none"]
    assert command("model=symbolic-tiny", "task=continue", *words) == 0
    (folder,) = {path.parent for path in tmp_path.rglob("table.parquet")}
    table = read_table(folder / "table.parquet")
    assert len(table) == 3 * 4 * 2 and not table["failed"].to_numpy().any()
    assert set(table["attention"]) == {"circular-hadamard"} and set(table["tokens"]) == {"note"}
    own = table[table["role"] == "own"]
    assert np.nanmax(own["f1n"]) < 0.5 and np.isfinite(table["loss"].to_numpy()).all()
    assert json.loads((folder / "returns.json").read_text())["n"] == 4
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["parameters"] > 20_000 and 0 < cost["ms_a_note"] < 1000 and cost["corpus"] == {"name": "planted"}
    names = {path.name for path in (folder / "figures").glob("*.png")}
    assert names == {"continue_symbolic-tiny.png", "piano-rolls.png"}
    assert len(list((folder / "audio").glob("*_continued.wav"))) == 4
    assert "F1n" in capsys.readouterr().out
