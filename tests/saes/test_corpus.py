"""Corpora of audio files: how they are opened, checked and cut; and SAEs trained on them, on an untrained model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from mech_music.activations.shards import read_stream
from mech_music.activations.sources import Audio
from mech_music.base.errors import UserError
from mech_music.edits.content import canonical, from_json, to_json
from mech_music.edits.excerpt import Excerpt
from mech_music.edits.row import Half, Row
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.saes import corpus as corpora
from mech_music.saes.named import Corpus, Firing, GivenClip, SaeFit, SplicedIn, TrainedSae, Training
from mech_music.saes.settings import SaeConfig, check_sae_config, held_out, spliced, trained_on
from mech_music.tasks.sae.concept_scores import Word, labels
from tests.made_engine import SHORT, engine
from tests.saes.made_corpus import HOOK, RATE, STUDY, config, fitted, folder_of, manifest_of, own_cache, sing  # noqa: F401

# -- opening -------------------------------------------------------------------------------------------------


def test_a_folder_is_split_by_recording(tmp_path: Path) -> None:
    sae = config(folder_of(tmp_path), every=0.25)
    train, test = trained_on(sae, STUDY), held_out(sae, STUDY)
    assert isinstance(train, Corpus) and isinstance(test, Corpus)
    starts = {clip.excerpt.start for clip in train.clips}
    assert starts == {0.0, 0.25, 0.5}, "0.6 s are left of 1 s after a clip of 0.4"
    tracks = [{clip.excerpt.track for clip in side.clips} for side in (train, test)]
    assert [len(one) for one in tracks] == [5, 3] and not tracks[0] & tracks[1]
    assert (train.n_clips, test.n_clips) == (15, 9) and train.one_half
    assert [clip.excerpt.start for clip in train.clips] != sorted(clip.excerpt.start for clip in train.clips)
    assert spliced(sae, STUDY).rows == test.rows[:2]
    assert len(set(train.units)) == 5 and max(train.units) == 4
    assert trained_on(replace(sae, clips=4), STUDY).rows == train.rows[:4]
    assert held_out(replace(sae, seed=1), STUDY).rows != test.rows
    check_sae_config(replace(sae, k=4), STUDY)


def test_a_manifest_says_what_its_files_are(tmp_path: Path) -> None:
    path = manifest_of(
        tmp_path, track=lambda n: f"album {n // 2}", split=lambda n: "test" if n > 3 else "train",
        prompt=lambda n: f"tone {n % 3}" if n % 3 else "", genre=lambda n: "jazz" if n % 2 else "",
    )  # fmt: skip
    sae = config(path, prompt="not this")
    train, test = trained_on(sae, STUDY), held_out(sae, STUDY)
    assert {Path(row.prefix.path).name for row in test.rows} == {f"{n}.wav" for n in range(4, 8)}  # type: ignore[union-attr]
    assert {row.prompt for row in train.rows} == {"", "tone 1", "tone 2"}
    by_file = dict(zip((Path(clip.excerpt.path).name for clip in train.clips), train.words(STUDY), strict=True))  # type: ignore[union-attr]
    assert by_file == {"0.wav": {}, "1.wav": {"genre": "jazz"}, "2.wav": {}, "3.wav": {"genre": "jazz"}}
    assert len(set(train.units)) == 2, "two files of one album"
    assert not train.one_half  # type: ignore[union-attr]


def test_words_of_the_manifest_are_told_by_features(tmp_path: Path) -> None:
    path = manifest_of(tmp_path, genre=lambda n: "jazz" if n % 2 else "rock", mood=lambda n: "" if n else "sad")
    train = trained_on(config(path, every=0.25), STUDY)
    assert isinstance(train, Corpus)
    own, dealt = labels(STUDY, train), labels(STUDY, train, 3)
    odd = [int(Path(clip.excerpt.path).stem) % 2 == 1 for clip in train.clips]
    assert own[Word("genre", "jazz")].tolist() == odd and set(own) <= {
        Word("genre", "jazz"), Word("genre", "rock"), Word("mood", "sad")
    }  # fmt: skip
    moved = dealt[Word("genre", "jazz")]
    by_track = {
        unit: {bool(moved[place]) for place, one in enumerate(train.units) if one == unit} for unit in train.units
    }
    assert all(len(found) == 1 for found in by_track.values()), "a recording's clips are dealt together"
    assert (moved != odd).any()
    assert labels(STUDY, trained_on(config(folder_of(tmp_path / "bare")), STUDY)) == {}


def test_where_files_lie_decides_nothing(tmp_path: Path) -> None:
    here, there = (config(folder_of(tmp_path / name)) for name in ("here", "there"))
    assert canonical(trained_on(here, STUDY)) == canonical(trained_on(there, STUDY)) and here.told == there.told
    other = folder_of(tmp_path / "other")
    for file in other.rglob("song 1.*"):
        sing(file, 99)
    for changed in (config(other), replace(here, every=0.3), replace(here, prompt="a tune")):
        assert canonical(trained_on(changed, STUDY)) != canonical(trained_on(here, STUDY))
        assert changed.told != here.told
    assert canonical(trained_on(config(tmp_path / "here", dtype="float16"), STUDY)) != canonical(
        trained_on(here, STUDY)
    )


def test_a_corpus_is_written_and_read_back(tmp_path: Path) -> None:
    found = trained_on(config(folder_of(tmp_path), every=0.25), STUDY)
    source = TrainedSae(HOOK, SaeFit(found, 8, 2, Training.topk, 0.0, 1, 8, 1e-2, 0))
    payloads: dict[str, Any] = {}
    written = json.loads(json.dumps(to_json([source, Row("", 0, prefix=found.rows[0].prefix)], payloads)))
    again, row = from_json(written, json.loads(json.dumps(payloads)))
    assert again == source and again.fit.harvest.clips == found.clips and row == found.rows[0]  # type: ignore[union-attr]


def test_files_are_read_once_as_long_as_they_are_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    look = corpora._look
    monkeypatch.setattr(corpora, "_look", lambda file, state: (looked.append(file.name), look(file, state))[1])
    place = folder_of(tmp_path / "songs")
    for _ in range(2):
        corpora.open_corpus.cache_clear()
        trained_on(config(place), STUDY)
    assert len(looked) == 8
    sing(place / "0" / "song 0.wav", 55, 2.0)
    corpora.open_corpus.cache_clear()
    trained_on(config(place), STUDY)
    assert looked[8:] == ["song 0.wav"]


def break_one(place: Path) -> None:
    (place / "0" / "song 0.wav").write_bytes(b"no sound")


def cut_one(place: Path) -> None:
    file = place / "1" / "song 1.flac"
    file.write_bytes(file.read_bytes()[:-9000])


def nan_one(place: Path) -> None:
    soundfile.write(place / "0" / "song 0.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")


def shorten_one(place: Path) -> None:
    sing(place / "0" / "song 0.wav", 0, 0.2)


BROKEN: dict[Callable[[Path], None], str] = {
    break_one: r"1 of 8 files cannot be used: song 0.wav \(LibsndfileError: ",
    cut_one: r"1 of 8 files cannot be used: song 1.flac \(",
    nan_one: r"1 of 8 files cannot be used: song 0.wav \(samples that are not finite\)",
    shorten_one: r"1 of 8 files cannot be used: song 0.wav \(0.20 s, shorter than a clip of 0.4 s\)",
}


@pytest.mark.parametrize("harm", BROKEN)
def test_files_that_cannot_be_used_are_named(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    harm(folder_of(tmp_path))
    with pytest.raises(
        UserError, match=rf"^sae.corpus=.*: {BROKEN[harm]}.*go on without them: sae.skip_unreadable=true"
    ):
        trained_on(config(tmp_path), STUDY)
    sae = config(tmp_path, skip_unreadable=True)
    assert trained_on(sae, STUDY).n_clips + held_out(sae, STUDY).n_clips == 7


def test_copies_are_left_out(tmp_path: Path) -> None:
    folder_of(tmp_path)
    (tmp_path / "copy.flac").write_bytes((tmp_path / "1" / "song 1.flac").read_bytes())
    sae = config(tmp_path)
    assert trained_on(sae, STUDY).n_clips + held_out(sae, STUDY).n_clips == 8


def one_file(tmp_path: Path) -> Path:
    sing(tmp_path / "alone.wav", 0)
    return tmp_path


LINES: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "1 recordings; at least 4 are needed": (one_file, {}),
    "sae.held_out=5: expected 2 to 4 of the 8 recordings": (folder_of, {"held_out": 5}),
    "no audio file in this folder": (lambda place: (place.mkdir(), place)[1], {}),
    "no folder of audio files, and no manifest": (lambda place: place / "nowhere", {}),
    r"'0.wav' is not the file of the manifest \(SHA-256 [0-9a-f]{12}…, not 0{12}…\)": (
        lambda place: manifest_of(place, sha256=lambda n: "0" * 64), {}),
    "line 2 has no licence": (lambda place: manifest_of(place, licence=lambda n: ""), {}),
    "line 2 has split 'dev'; allowed: train, test": (lambda place: manifest_of(place, split=lambda n: "dev"), {}),
    "some lines have a split, and others have none": (
        lambda place: manifest_of(place, split=lambda n: "train" if n else ""), {}),
    "track 'one' is in both splits": (
        lambda place: manifest_of(
            place, track=lambda n: f"{n}" if n > 1 else "one", split=lambda n: "test" if n % 2 else "train"), {}),
    r"2 of 8 files cannot be used: x0 \(No such file or directory\), x1 ": (
        lambda place: manifest_of(place, path=lambda n: f"x{n}" if n < 2 else f"{n}.wav"), {}),
    "sae.every=0: expected seconds": (folder_of, {"every": 0.0}),
    "sae.spliced=9: expected at most the 3 held-out clips": (folder_of, {"spliced": 9}),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_what_cannot_be_is_one_line(tmp_path: Path, line: str) -> None:
    make, more = LINES[line]
    with pytest.raises(UserError, match=rf"^[^\n]*{line}[^\n]*$"):
        check_sae_config(config(make(tmp_path / "songs"), **more), STUDY)


def test_words_about_audio_without_any_are_one_line() -> None:
    with pytest.raises(UserError, match=r"^sae.prompt=a tune: this is said of audio files: give sae.corpus="):
        check_sae_config(SaeConfig(prompt="a tune"), STUDY)


# -- reading -------------------------------------------------------------------------------------------------


def test_a_clip_is_read_along_as_its_own_audio_is(made: HookedMusicGen, tmp_path: Path) -> None:
    """The tokens are the codec's, of the mixed-down sound alone; activations those of `Audio`, the null condition's."""
    sae = config(folder_of(tmp_path / "songs"), every=0.25)
    own = engine(made, tmp_path / "store")
    harvest = trained_on(replace(sae, clips=10), STUDY)
    own.ensure([Firing(fitted(harvest), HOOK, harvest)])
    (folder,) = (tmp_path / "store" / "v4" / "streams").glob("*/*")
    found = {row: x for chunk in read_stream(folder) for row, x in zip(chunk.rows, chunk.values[HOOK], strict=True)}
    assert set(found) == set(harvest.rows)
    clips = []
    for row in harvest.rows:
        assert isinstance(row.prefix, Excerpt)
        audio, _ = soundfile.read(row.prefix.path)
        start = round(row.prefix.start * RATE)
        clips.append(audio[start : start + int(0.4 * RATE) + 1].mean(1))
    given = Audio(np.stack(clips).astype(np.float32), sample_rate=RATE)
    wanted = torch.cat([chunk.values[HOOK] for chunk in own.stream(HOOK, given, Half.both)])
    for place, row in enumerate(harvest.rows):
        assert found[row].shape == (own.passes.n_steps, 1, 32)
        torch.testing.assert_close(found[row][:, 0], wanted[place][:, 1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(wanted[place][:, 0], wanted[place][:, 1], rtol=1e-4, atol=1e-5)
    outcome = own.outcomes(harvest.rows[:2])
    tokens = given.tokens([0, 1], made)[:, :, : made.n_frames(SHORT.duration)]
    for row, clip in zip(harvest.rows[:2], tokens, strict=True):
        np.testing.assert_array_equal(outcome[row].tokens, clip)


def test_an_sae_is_trained_and_evaluated_on_audio(made: HookedMusicGen, tmp_path: Path) -> None:
    sae = config(folder_of(tmp_path / "songs"))
    own, train, test = engine(made, tmp_path / "store"), trained_on(sae, STUDY), held_out(sae, STUDY)
    one = fitted(train)
    records = own.answers([one, Firing(one, HOOK, test), SplicedIn(one, HOOK, spliced(sae, STUDY))]).records
    firing, harm = records[Firing(one, HOOK, test)], records[SplicedIn(one, HOOK, spliced(sae, STUDY))]
    assert firing["error"].shape == (3, 1) and np.isfinite(firing["activation"]).all()
    assert (firing["error"] < firing["variance"] * 1.5).all()
    assert np.isfinite(harm["kl_sae"]).all() and harm["kl_mean"].shape == (2, 2)
    for half in (Half.uncond, Half.both):  # the one half that is stored stands for either
        again = own.answers([fitted(train, half=half)]).records[fitted(train, half=half)]
        np.testing.assert_array_equal(again["W_dec"], records[one]["W_dec"])


def test_a_file_that_changes_meanwhile_is_one_line(made: HookedMusicGen, tmp_path: Path) -> None:
    train = trained_on(config(folder_of(tmp_path / "songs")), STUDY)
    sing(tmp_path / "songs" / "0" / "song 2.flac", 77, 2.0)
    for file in (tmp_path / "songs").rglob("song 1.*"):
        file.unlink()
    rows = {Path(row.prefix.path).name: row for row in [*train.rows, *held_out(config(tmp_path / "songs"), STUDY).rows]}  # type: ignore[union-attr]
    for name, line in {"song 2.flac": "has changed: its SHA-256 is not", "song 1.flac": "cannot be read"}.items():
        with pytest.raises(UserError, match=rf"^'.*{name}' {line}"):
            engine(made, tmp_path / "store").outcomes([rows[name]])


def test_constant_activations_are_one_line(tmp_path: Path) -> None:
    from mech_music.saes.training import Scale

    for value, line in {1.0: "are constant", np.nan: "are not finite"}.items():
        with pytest.raises(UserError, match=rf"^the activations of {HOOK} {line}"):
            Scale.of(torch.full((50, 4), value), HOOK)


def test_excerpts_of_one_file_are_apart() -> None:
    one = Excerpt.of("a.wav", "0" * 64, 1.0, "a")
    assert one == Excerpt.of("b.wav", "0" * 64, 1.0, "b") != Excerpt.of("a.wav", "0" * 64, 2.0, "a")
    assert Corpus.of([GivenClip(one)]) != Corpus.of([GivenClip(one, "a prompt")])


def test_words_of_one_recordings_clips_may_differ(tmp_path: Path) -> None:
    """Stems of one piece: the files of a track, each with its own instrument."""
    stems = manifest_of(tmp_path, track=lambda n: f"piece {n // 2}", instrument=lambda n: ("drums", "bass")[n % 2])
    corpus = trained_on(config(stems, held_out=2), STUDY)
    assert isinstance(corpus, Corpus)
    own = [clip.words["instrument"] == "drums" for clip in corpus.clips]
    assert any(own) and not all(own)
    assert labels(STUDY, corpus)[Word("instrument", "drums")].tolist() == own
