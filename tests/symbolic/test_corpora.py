"""Corpora: what is read of a file, how it is fitted and split, and one line for each piece that cannot be used."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.models.symbolic import train as training_command
from mech_music.models.symbolic.corpora.fitting import fit, grid_of, off_grid
from mech_music.models.symbolic.corpora.registry import CorpusConfig, load
from mech_music.models.symbolic.corpora.scores import Heard, Score, one_metre
from mech_music.models.symbolic.decoder import Shape
from mech_music.models.symbolic.files import read_card, read_config
from mech_music.models.symbolic.notes import Note
from mech_music.models.symbolic.settings import SymbolicConfig
from mech_music.models.symbolic.training import Trainer, build
from mech_music.tiny.config import LoopConfig
from tests.structure.made_songs import song_folder

GRID = grid_of(8)
TUNE = tuple(Heard(float(quarter), 1.0, 60 + quarter % 5) for quarter in range(40))  # ten bars
BASS = tuple(Heard(4.0 * bar, 4.0, 40) for bar in range(10))


def test_the_highest_part_is_the_melody_and_the_lowest_the_bass() -> None:
    between = tuple(Heard(note.start, 1.0, 55) for note in TUNE)
    (found,) = fit(Score("one", (4, 4), (BASS, between, TUNE)), GRID)
    assert found.notes[:3] == (Note(0, 0, 0, 60, 2), Note(0, 0, 1, 40, 8), Note(0, 2, 0, 61, 2))
    assert {note.track: note.pitch for note in found.notes if note.position == 0 and note.bar == 0} == {0: 60, 1: 40}
    assert (found.n_bars, len(found.notes), found.attributes) == (10, 50, {"metre": "four-four"})


def test_a_track_has_one_note_at_a_time_on_the_grid() -> None:
    rushed = (Heard(0.05, 3.0, 60), Heard(0.0, 1.0, 64), Heard(1.1, 0.5, 62), Heard(-1.0, 1.0, 50), *TUNE[4:])
    score = Score("one", (4, 4), (rushed,))
    (found,) = fit(score, GRID)
    assert found.notes[:2] == (Note(0, 0, 0, 64, 2), Note(0, 2, 0, 62, 1)), "the higher one, cut; the upbeat is dropped"
    assert off_grid(score, GRID) == (2, 40)


def test_stretches_have_no_empty_bar_and_are_eight_bars_or_longer() -> None:
    long = tuple(Heard(float(quarter), 1.0, 60) for quarter in range(4 * 60) if quarter // 4 not in (5, 45))
    letters = tuple("A" if bar < 20 else "B" for bar in range(60))
    found = fit(Score("one", (4, 4), (long,), letters), GRID)
    assert [(one.first, one.n_bars) for one in found] == [(6, 16), (22, 16), (46, 14)], "38 to 44 are seven bars"
    assert found[0].letters == ("A",) * 14 + ("B",) * 2


def test_keys_stay_on_the_grid() -> None:
    (found,) = fit(Score("one", (4, 4), (BASS, TUNE)), GRID)
    assert found.shifts(GRID) == range(-6, 6)
    high = Score("high", (4, 4), (BASS, tuple(Heard(note.start, 1.0, 98) for note in TUNE)))
    (narrow,) = fit(high, GRID)
    assert narrow.shifts(GRID) == range(-6, 3)
    GRID.check(narrow.transposed(2).notes)
    with pytest.raises(UserError, match="^pitch 101"):
        GRID.check(narrow.transposed(3).notes)


@pytest.mark.parametrize(
    ("score", "line"),
    [
        (Score("x", (4, 4), ((), ())), "^'x' has no notes: leave it out"),
        (Score("x", (4, 4), (TUNE,) * 20), "^'x' has 20 tracks with notes: .* at most 16; keep those"),
        (Score("x", (5, 4), (TUNE,)), "^'x' is in 5/4: a bar of it is 10 positions, and the grid holds .* up to 8"),
        (Score("x", (7, 16), (TUNE,)), "^'x' is in 7/16: a bar of it is 3.5 positions"),
        (Score("x", (4, 4), ((*TUNE, Heard(40.0, 1.0, 101)),)), "^'x' has pitch 101 in its melody, out.*36 to 100"),
    ],
)  # fmt: skip
def test_what_the_grid_cannot_hold_is_one_line(score: Score, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        fit(score, GRID)
    assert "\n" not in str(caught.value)


def test_a_changing_time_signature_is_one_line() -> None:
    assert one_metre("x", []) == (4, 4)
    with pytest.raises(UserError, match=r"^'x' changes its time signature \(3/4, 4/4\)"):
        one_metre("x", [(3, 4), (4, 4), (3, 4)])


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (CorpusConfig("choral"), "^unknown corpus 'choral'; did you mean chorales"),
        (CorpusConfig("chorales", held_out=1.0), "^corpus.held_out=1: expected a share"),
        (CorpusConfig("chorales", positions=12), r"^corpus.positions=12: expected 8 \(eighths\) or 16"),
        (CorpusConfig("chorales", limit=-1), "^corpus.limit=-1"),
        (CorpusConfig("pop909"), "^corpus=pop909 needs corpus.path"),
        (CorpusConfig("pop909", path="/no/where"), "^corpus.path=/no/where: no song"),
    ],
)
def test_a_config_that_makes_no_corpus_is_one_line(config: CorpusConfig, line: str) -> None:
    with pytest.raises(UserError, match=line):
        load(config)


@pytest.mark.parametrize("name", ["chorales", "folk"])
def test_without_music21_one_line_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(UserError, match=r"pip install 'mech_music\[symbolic\]', or choose corpus=planted$"):
        load(CorpusConfig(name))


def test_songs_are_split_whole_and_keep_what_people_heard(tmp_path: Path) -> None:
    for number in range(12):
        song_folder(tmp_path, f"{number:03d}")
    corpus = load(CorpusConfig("pop909", path=str(tmp_path), positions=16, held_out=0.4))
    train, held_out = ({one.score for one in some} for some in (corpus.train, corpus.held_out))
    assert train | held_out == {f"{number:03d}" for number in range(12)} and not train & held_out
    assert corpus.manifest["held_out_pieces"] == sorted(held_out) and "MIT" in corpus.manifest["licence"]
    assert set(corpus.train[0].letters) <= {"", "A", "B"} and "A" in corpus.train[0].letters
    song_folder(tmp_path, "012")
    more = load(CorpusConfig("pop909", path=str(tmp_path), positions=16, held_out=0.4, limit=13))
    assert held_out == {one.score for one in more.held_out} - {"012"}, "a further song moves none"


class _Message(SimpleNamespace):
    pass


def _notes(pitch: int, channel: int = 0) -> list[_Message]:
    sounds = [("note_on", 0), ("note_off", 480)]
    return [
        _Message(type=kind, time=time, note=pitch + at % 3, velocity=64, channel=channel)
        for at in range(48)
        for kind, time in sounds
    ]


def _fake_mido(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files say the beats of a bar and their tracks; mido's own messages, without mido."""

    def read(file: Path) -> SimpleNamespace:
        word = file.read_text()
        if word == "broken":
            raise EOFError("no header")
        sign = _Message(type="time_signature", time=0, numerator=5 if word == "five" else 4, denominator=4)
        tracks = {"empty": 0, "twenty": 20}.get(word, 2)
        made = [_notes(40 + 24 * (at % 2)) for at in range(tracks)]
        return SimpleNamespace(ticks_per_beat=480, tracks=[[sign], *made, _notes(36, channel=9) if tracks else []])

    module = ModuleType("mido")
    module.MidiFile = read  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "mido", module)


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("broken", r"^'a.mid' is no MIDI file \(EOFError: no header\)"),
        ("empty", "^'a.mid' has no notes"),
        ("twenty", "^'a.mid' has 20 tracks with notes"),
        ("five", "^'a.mid' is in 5/4"),
    ],
)
def test_midi_files_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    _fake_mido(monkeypatch)
    (tmp_path / "a.mid").write_text(word)
    with pytest.raises(UserError, match=line):
        load(CorpusConfig("midi", path=str(tmp_path)))
    for name in "bcdefghi":
        (tmp_path / f"{name}.mid").write_text("good")
    corpus = load(CorpusConfig("midi", path=str(tmp_path), held_out=0.5))
    assert corpus.manifest["left_out"] == 1 and "1 pieces are left out" in caplog.text
    first = (*corpus.train, *corpus.held_out)[0].notes
    assert [(note.track, note.pitch) for note in first[:2]] == [(0, 64), (1, 40)], "without the drums"


def test_a_folder_without_midi_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_mido(monkeypatch)
    with pytest.raises(UserError, match="^corpus.path=.*: no .mid or .midi file in this folder"):
        load(CorpusConfig("midi", path=str(tmp_path)))
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(UserError, match=r"^corpus=midi is read with the package mido: .*\[midi\]"):
        load(CorpusConfig("midi", path=str(tmp_path)))


def test_training_on_a_corpus_writes_a_card_and_stops_at_any_moment(tmp_path: Path) -> None:
    for number in range(6):
        song_folder(tmp_path / "songs", f"{number:03d}")
    corpus = CorpusConfig("pop909", path=str(tmp_path / "songs"), positions=16, held_out=0.4)
    config = SymbolicConfig(
        seed=3,
        folder=str(tmp_path / "run"),
        shape=Shape(width=16, layers=1, heads=2, context=60),
        loop=LoopConfig(steps=2, batch=2, save_every=1),
        corpus=corpus,
    )
    trainer = Trainer(config, build(config))
    losses = [float(trainer.loss(step).detach()) for step in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    training_command.run(config)
    shape, grid = read_config(tmp_path / "run" / "bundle")
    card = read_card(tmp_path / "run" / "bundle")
    assert (shape.width, grid) == (16, grid_of(16))
    assert card["digest"] == load(corpus).manifest["digest"] and card["loop"]["steps"] == 2
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.skipif(importlib.util.find_spec("music21") is None, reason="the corpus is music21's")
def test_chorales_of_music21(caplog: pytest.LogCaptureFixture) -> None:
    corpus = load(CorpusConfig("chorales", limit=12))
    every = (*corpus.train, *corpus.held_out)
    assert len({one.score for one in every}) >= 9
    for one in every:
        corpus.grid.check(one.notes)
        assert 8 <= one.n_bars <= 16 and {note.track for note in one.notes} == {0, 1}
    assert sum(len(one.notes) for one in every) > 500
