"""POP909: songs made in the very same format, what two annotators agree on, and the pieces that become of them."""

from __future__ import annotations

import builtins
import struct
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.structure.pieces.annotated import Kind
from mech_music.structure.pieces.pop909.against import against_people
from mech_music.structure.pieces.pop909.agreement import boundary_f1, ceiling, lags, pair_f1, phrase_pairs
from mech_music.structure.pieces.pop909.midi import NotAligned, arrangement, read_midi
from mech_music.structure.pieces.pop909.pieces import Pop909Pieces
from mech_music.structure.pieces.pop909.songs import Phrase, Song, read_song, read_songs
from mech_music.structure.pieces.pop909.sound import SAMPLE_RATE, song_audio
from mech_music.structure.proposals.proposals import ProposalSettings
from tests.structure.made_songs import LABELS, song_folder
from tests.structure.test_manifest import Halves


@pytest.fixture
def song(tmp_path: Path) -> Song:
    return read_song(song_folder(tmp_path, "001"))


def test_a_song_is_read(song: Song) -> None:
    mine, theirs = song.phrases
    assert mine == (
        Phrase("i", 0, 2), Phrase("A", 2, 6), Phrase("B", 6, 10), Phrase("A", 10, 14), Phrase("x", 14, 15),
        Phrase("B", 15, 19), Phrase("o", 19, 21),
    )  # fmt: skip
    assert theirs[-2:] == (Phrase("B", 14, 19), Phrase("o", 19, 21)) and song.bars == 21
    assert (song.metre, song.tempo, song.bar_seconds) == (4, 120.0, 2.0)
    assert song.melody[0].start == 2 * 16 and song.chords[0].classes == (0, 4, 7)
    assert [phrase.source_in(mine) for phrase in mine] == [None, None, None, 1, None, 2, None]
    assert song.semitones(mine[1], mine[3]) == 2 and song.semitones(mine[2], mine[5]) == 0
    assert lags(song, 0).tolist() == [8, 9]


WRONG = {
    "human_label1": ("i4A4?8", "says 'i4A4\\?8': expected letters with a number of bars"),
    "human_label2": (None, "human_label2.txt' cannot be read \\(FileNotFoundError"),
    "melody": ("60 4\n60\n", "melody.txt', line 2: '60'; expected 2 whole numbers"),
    "finalized_chord": ("C:maj [0, 4, 7] 0 4 2\n", "finalized_chord.txt', line 1: 'C:maj"),
    "tempo": ("1000", "tempo 1000; expected 20 to 400"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_of_something_else_are_named(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    text, line = WRONG[name]
    song_folder(tmp_path, "001")
    song_folder(tmp_path, "002", **{name: text})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=line):
        read_songs(str(tmp_path), ["002"])
    assert [one.name for one in read_songs(str(tmp_path))] == ["001"]
    assert "1 of 2 songs are left out" in caplog.text


def test_folders_without_songs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no song with human_label1.txt in this folder"):
        read_songs(str(tmp_path))
    song_folder(tmp_path / "POP909", "001")
    assert len(read_songs(str(tmp_path))) == 1
    with pytest.raises(UserError, match="no song '777'"):
        read_songs(str(tmp_path), ["777"])


def test_metres_of_three_beats(tmp_path: Path) -> None:
    chords = "".join(f"C:maj [0, 4, 7] 0 {beats} \n" for beats in [3] * 20)
    song = read_song(song_folder(tmp_path, "034", finalized_chord=chords + "N []  3\n"))
    assert song.metre == 3 and song.chords[-1].classes == ()


# -- people ----------------------------------------------------------------------------------------------------


def phrases(text: str) -> tuple[Phrase, ...]:
    found, bar = [], 0
    for letter, bars in zip(text[::2], text[1::2], strict=True):
        found.append(Phrase(letter, bar, bar + int(bars)))
        bar += int(bars)
    return tuple(found)


def test_agreement_is_what_it_is_called() -> None:
    mine, theirs = phrases("A4B4A4"), phrases("A4B3A5")
    assert boundary_f1(mine, theirs, 0) == 0.5 and boundary_f1(mine, theirs, 1) == 1.0
    assert boundary_f1(mine, mine, 0) == 1.0 and np.isnan(boundary_f1(mine[:1], theirs[:1], 0))
    pairs = [
        {(a, b) for a, b in combinations(range(12), 2) if letters[a] == letters[b]}
        for letters in ("AAAABBBBAAAA", "AAAABBBAAAAA")
    ]
    precision, recall = (len(pairs[0] & pairs[1]) / len(one) for one in pairs)
    assert pair_f1(mine, theirs) == pytest.approx(2 * precision * recall / (precision + recall))
    assert pair_f1(phrases("i4x4"), phrases("i4x4")) != pair_f1(mine, mine) == 1.0


def test_the_ceiling_has_intervals(tmp_path: Path) -> None:
    songs = [read_song(song_folder(tmp_path, f"{n:03d}", (LABELS[0], LABELS[n % 2]))) for n in range(1, 7)]
    found = ceiling(songs, (0, 1), 200)
    assert found.boundaries[0].low < found.boundaries[0].mean < found.boundaries[0].high
    assert found.boundaries[1].mean >= found.boundaries[0].mean and found.bars.n == 6


def test_distances_are_held_against_people(tmp_path: Path) -> None:
    songs = [read_song(song_folder(tmp_path, f"{n:03d}")) for n in range(1, 4)]
    pairs = phrase_pairs(songs[0], 0)
    assert [(one.first, one.second, one.same) for one in pairs] == [
        (2, 6, False), (2, 10, True), (6, 10, False), (2, 15, False), (6, 15, True), (10, 15, False),
    ]  # fmt: skip
    assert pairs[1].other == 1.0 and pairs[0].other == 0.0
    found = against_people(songs, song_audio, ProposalSettings(nulls=60), resamples=100)
    assert found.pairs == 18 and found.person.mean == 1.0
    assert found.proposals.mean == 1.0, "transposed returns among them"
    assert found.plain.mean < 0.9


# -- sound and pieces ------------------------------------------------------------------------------------------


def test_phrases_become_pieces(tmp_path: Path) -> None:
    for name in ("001", "002"):
        song_folder(tmp_path, name)
    pieces = Pop909Pieces(str(tmp_path), None, 26.0, 1, "piano", "a pop song")
    found = pieces.load(2, Halves())  # type: ignore[arg-type]
    assert [(one.name, one.track, one.n_frames) for one in found] == [
        ("001@0.00", "001", 260),
        ("002@0.00", "002", 260),
    ]
    one = found[0]
    assert [(s.start, s.end, s.kind, s.source, s.semitones) for s in one.sections] == [
        (0, 40, Kind.new, None, 0), (40, 120, Kind.new, None, 0), (120, 200, Kind.new, None, 0),
        (200, 260, Kind.transposed, 1, 2),
    ]  # fmt: skip
    assert one.beats[:3] == (0, 5, 10) and one.bars[:3] == (0, 20, 40) and one.codes.any()
    assert Pop909Pieces(str(tmp_path), None, 26.0, 2, "piano", "a pop song").id != pieces.id
    with pytest.raises(UserError, match="2 songs have 2 stretches of 26 s with a return and its source, not 5"):
        pieces.load(5, Halves())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="pieces.annotator=3: expected 1 or 2"):
        Pop909Pieces(str(tmp_path), None, 26.0, 3, "piano", "")
    with pytest.raises(UserError, match=r"pieces.midi=.*: no 001/001.mid in this folder"):
        Pop909Pieces(str(tmp_path), str(tmp_path), 26.0, 1, "piano", "")
    ids = []
    for content in (b"one", b"one", b"another"):
        for name in ("001", "002"):
            (tmp_path / name / f"{name}.mid").write_bytes(content)
        ids.append(Pop909Pieces(str(tmp_path), str(tmp_path), 26.0, 1, "piano", "").id)
    assert ids[0] == ids[1] != ids[2] != pieces.id


def midi_file(path: Path, tracks: Sequence[tuple[str, Sequence[tuple[int, int, int]]]], ticks: int = 480) -> Path:
    """A standard MIDI file of notes (start, length in ticks, pitch), written by hand."""

    def number(value: int) -> bytes:
        parts = [value & 127]
        while value := value >> 7:
            parts.insert(0, 128 | (value & 127))
        return bytes(parts)

    content = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), ticks)
    for name, notes in tracks:
        events = sorted([(a, 1, p) for a, _, p in notes] + [(a + n, 0, p) for a, n, p in notes])
        data, now = b"\x00\xff\x03" + number(len(name)) + name.encode(), 0
        for at, on, pitch in events:
            data += number(at - now) + bytes([0x90, pitch, 80 * on])
            now = at
        data += b"\x00\xff\x2f\x00"
        content += b"MTrk" + struct.pack(">I", len(data)) + data
    path.write_bytes(content)
    return path


def test_midi_is_put_where_the_melody_stands(song: Song, tmp_path: Path) -> None:
    pytest.importorskip("mido")
    late = 5  # sixteenths before the annotation's first bar
    melody = [((note.start + late) * 120, note.length * 120, note.pitch) for note in song.melody]
    chords = [(late * 120 + bar * 1920, 1920, 48) for bar in range(21)]
    file = midi_file(tmp_path / "001.mid", [("MELODY", melody), ("PIANO", chords), ("DRUMS", melody)])
    assert {*read_midi(file)} == {"ticks", "MELODY", "PIANO", "DRUMS"}
    audio = arrangement(song, file)
    assert len(audio) == 42 * SAMPLE_RATE
    loud = np.abs(audio[: 4 * SAMPLE_RATE]).max(), np.abs(audio[4 * SAMPLE_RATE :]).max()
    assert 0 < loud[0] < loud[1], "the melody begins in bar 2"
    other = midi_file(tmp_path / "x.mid", [("MELODY", [(at, n, pitch % 7 + 30) for at, n, pitch in melody])])
    with pytest.raises(NotAligned, match="has 0 of the"):
        arrangement(song, other)
    with pytest.raises(UserError, match="no track MELODY"):
        arrangement(song, midi_file(tmp_path / "y.mid", [("PIANO", chords)]))
    (tmp_path / "z.mid").write_bytes(b"no MIDI")
    with pytest.raises(UserError, match="z.mid' is no MIDI file"):
        read_midi(tmp_path / "z.mid")


def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **how: Any) -> Any:
        if name == "mido":
            raise ImportError(name)
        return real(name, *args, **how)

    monkeypatch.delitem(sys.modules, "mido", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="MIDI files need the package mido: install it with pip install mido"):
        read_midi(tmp_path / "001.mid")
