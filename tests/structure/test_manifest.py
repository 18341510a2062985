"""Manifests of recordings, labels, and annotated pieces made of both: what is refused, and what a piece is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from mech_music.base.errors import UserError
from mech_music.config.paths import conf_dir
from mech_music.structure.pieces.annotated import Kind
from mech_music.structure.pieces.labels import Label, State, read_labels, write_labels
from mech_music.structure.pieces.manifest import MANIFEST, Recording, open_manifest, write_manifest
from mech_music.structure.pieces.registry import open_pieces
from mech_music.structure.pieces.reviewed import ReviewedPieces, spans_of
from tests.structure.made_songs import wander

SECONDS = 12.0


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "songs"
    place.mkdir()
    for number in range(3):
        soundfile.write(place / f"{number}.wav", wander(number, SECONDS), 16_000)
    write_manifest(place, "CC0", "made here")
    return place


def changed(folder: Path, **columns: Callable[[int], str]) -> Path:
    """The manifest with other values, by number."""
    with (folder / MANIFEST).open(newline="") as file:
        lines = list(csv.DictReader(file))
    lines = [line | {name: say(number) for name, say in columns.items()} for number, line in enumerate(lines)]
    with (folder / MANIFEST).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return folder


def test_a_manifest_tells_licence_source_and_content(folder: Path) -> None:
    changed(folder, split=lambda n: "test" if n else "train", track=lambda n: f"album {n > 0}")
    found = open_manifest(folder)
    assert [one.name for one in found] == ["0.wav", "1.wav", "2.wav"]
    assert {(one.licence, one.source) for one in found} == {("CC0", "made here")}
    assert [one.split for one in found] == ["train", "test", "test"] and found[1].track == "album True"
    assert open_manifest(folder / MANIFEST) == found
    audio, rate = found[1].sound(2.0, 3.5)
    whole = soundfile.read(folder / "1.wav", dtype="float32")[0]
    assert rate == found[1].sample_rate == 16_000 and np.array_equal(audio, whole[32_000:56_000])
    with pytest.raises(UserError, match="is there already"):
        write_manifest(folder, "CC0", "made here")


def harm_audio(folder: Path) -> Path:
    (folder / "1.wav").write_bytes(b"RIFF no sound")
    return changed(
        folder, sha256=lambda n: __import__("hashlib").sha256((folder / f"{n}.wav").read_bytes()).hexdigest()
    )


def harm_content(folder: Path) -> Path:
    soundfile.write(folder / "1.wav", wander(9, SECONDS), 16_000)
    return folder


REFUSED: dict[str, Callable[[Path], Path]] = {
    "track 'one' is in both splits": lambda place: changed(
        place, track=lambda n: "one" if n < 2 else "two", split=lambda n: "test" if n else "train"
    ),
    r"1 of 3 files cannot be used: 1.wav \(": harm_audio,
    r"'1.wav' is not the file of the manifest \(SHA-256": harm_content,
    "line 3 has no licence": lambda place: changed(place, licence=lambda n: "" if n == 1 else "CC0"),
    "'2.wav' has no source": lambda place: changed(place, source=lambda n: "" if n == 2 else "here"),
    "no manifest.csv in this folder": lambda place: ((place / MANIFEST).unlink(), place)[1],
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_wrong_is_one_line(folder: Path, line: str) -> None:
    place = REFUSED[line](folder)
    with pytest.raises(UserError, match=f"^pieces.path=.*{line}") as raised:
        open_manifest(place, "pieces.path")
    assert "\n" not in str(raised.value)


# -- labels and pieces -----------------------------------------------------------------------------------------


def label(of: Recording, *places: float, state: State = State.positive, semitones: int = 0) -> Label:
    first, second = places[:2], places[2:]
    return Label(of.name, of.sha256, first[0], first[1], second[0], second[1], semitones, state, 1)


class Halves:
    """A generator's codec, as far as pieces ask: two codebooks, a frame every tenth of a second."""

    frame_rate = 10.0

    def n_frames(self, duration: float) -> int:
        return round(duration * self.frame_rate)

    def to_tokens(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        frames = audio.unfold(1, sample_rate // 10, sample_rate // 10)
        return torch.stack([(frames.abs().mean(2) * 100).int(), (frames.amax(2) * 100).int()], 1)


def test_verified_labels_become_sections(folder: Path) -> None:
    first, second, _ = open_manifest(folder)
    labels = [
        label(first, 1.0, 3.0, 5.0, 7.0, semitones=-2), label(first, 1.0, 3.0, 8.0, 9.5),
        label(first, 2.0, 4.0, 9.0, 11.0),  # overlaps both
        label(first, 0.0, 1.0, 10.0, 11.0, state=State.negative),
        label(second, 1.0, 3.0, 5.0, 7.0, state=State.rejected), label(second, 0.5, 2.0, 6.0, 7.5),
    ]  # fmt: skip
    write_labels(folder, labels)
    assert read_labels(folder) == labels
    spans = spans_of(labels[:4])
    told = [(span.start, span.kind, span.source, span.semitones) for span in spans]
    assert told == [
        (1.0, Kind.new, None, 0), (5.0, Kind.transposed, 0, -2), (8.0, Kind.exact, 0, 0), (10.0, Kind.new, None, 0),
    ]  # fmt: skip
    pieces = ReviewedPieces(str(folder), 9.0, "all", "refuse", "a song")
    (one, other) = pieces.load(2, Halves())  # type: ignore[arg-type]
    assert (one.name, one.track, one.frame_rate, one.n_frames) == ("0.wav@1.00", "0.wav", 10.0, 90)
    assert [(s.start, s.end, s.kind, s.source) for s in one.sections] == [
        (0, 20, Kind.new, None), (40, 60, Kind.transposed, 0), (70, 85, Kind.exact, 0)
    ]  # fmt: skip
    expected = Halves().to_tokens(torch.from_numpy(first.sound(1.0, 10.0)[0])[None], 16_000)[0].numpy()
    assert one.beats[:3] == (0, 5, 10) and one.bars == ()
    assert np.array_equal(one.codes, expected) and other.name == "1.wav@0.50" and other.prompt == "a song"
    with pytest.raises(UserError, match="2 stretches of 9 s have a verified return .* not 3"):
        pieces.load(3, Halves())  # type: ignore[arg-type]
    write_labels(folder, labels[:3])
    assert ReviewedPieces(str(folder), 9.0, "all", "refuse", "a song").id != pieces.id


@pytest.mark.parametrize("name", ["folder", "pop909"])
def test_every_setting_of_a_config_is_one_of_its_class(name: str) -> None:
    settings = yaml.safe_load((conf_dir() / "pieces" / f"{name}.yaml").read_text())
    with pytest.raises(UserError, match=f"^pieces={name} needs pieces.path=<"):
        open_pieces(settings, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"unknown key of pieces={name} 'pth'"):
        open_pieces(settings | {"pth": "x"}, None)  # type: ignore[arg-type]


def test_labels_that_nobody_verified_are_no_labels(folder: Path) -> None:
    first, second, _ = open_manifest(folder)
    waiting = label(second, 1.0, 3.0, 5.5, 7.0, state=State.unverified)
    write_labels(folder, [label(first, 1.0, 3.0, 5.0, 7.0), waiting])
    with pytest.raises(
        UserError, match=r"1 of 2 labels are unreviewed, the first in '1.wav' at 5.50 s.*unreviewed=drop"
    ):
        ReviewedPieces(str(folder), 9.0, "all", "refuse", "")
    pieces = ReviewedPieces(str(folder), 9.0, "all", "drop", "")
    assert [one.track for one in pieces.load(1, Halves())] == ["0.wav"]  # type: ignore[arg-type]


def test_labels_of_other_pieces_are_refused(folder: Path) -> None:
    first, *_ = open_manifest(folder)
    good = label(first, 1.0, 3.0, 5.0, 7.0)
    for wrong, line in (
        (replace(good, recording="9.wav"), "labels.csv is of other recordings: '9.wav'"),
        (replace(good, sha256="0" * 64), "labels.csv is of other recordings: '0.wav'"),
        (replace(good, second_end=99.0), "a place up to 99.00 s in '0.wav', which ends at 12.00 s"),
        (replace(good, second_end=4.0), "line 2: a place ends before it begins"),
    ):
        write_labels(folder, [wrong])
        with pytest.raises(UserError, match=line):
            ReviewedPieces(str(folder), 9.0, "all", "refuse", "")
    path = write_labels(folder, [good])
    path.write_text(path.read_text().replace("positive", "sure"))
    with pytest.raises(UserError, match="line 2: ValueError: 'sure' is not a valid State"):
        read_labels(folder)
    path.unlink()
    with pytest.raises(UserError, match="labels.csv' cannot be read"):
        read_labels(folder)
    for settings, line in (
        ((9.0, "dev", "drop"), "unknown pieces.split 'dev'"), ((9.0, "all", "use"), "unknown pieces.unreviewed 'use'"),
        ((0.0, "all", "drop"), "pieces.seconds=0"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=line):
            ReviewedPieces(str(folder), *settings, "")


@pytest.mark.parametrize("path", sorted((conf_dir() / "pieces").glob("*.yaml")), ids=lambda path: path.stem)
def test_pieces_are_called_as_their_file_is(path: Path) -> None:
    """Tables and figures say it."""
    assert yaml.safe_load(path.read_text())["name"] == path.stem
