"""Planted pieces: what their truth says is so, in the notes and in the samples; and blind pieces foretell nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from mech_music.structure.pieces.annotated import Kind
from mech_music.tiny.long.composition import (
    BEATS,
    FRAMES,
    INSTRUMENTS,
    Asked,
    Piece,
    compose,
    decoy_of,
    melody_notes,
    n_sections,
    truth,
)
from mech_music.tiny.long.forms import BLIND, HINTED, TOLD, TOLD_FORMS
from mech_music.tiny.long.sound import FRAME, SAMPLES, render

MANY = [compose(number) for number in range(1500)]


def of_kind(kind: Kind, pieces: list[Piece] = MANY) -> list[tuple[Piece, int]]:
    return [(piece, at) for piece in pieces for at, one in enumerate(piece.sections) if one.kind is kind]


def test_a_piece_is_what_was_asked_for_and_always_the_same() -> None:
    asked = Asked(TOLD, "slow", "violin", "ABACAB")
    piece = compose(5, asked)
    assert piece == compose(5, asked) != compose(6, asked)
    assert (
        piece.prompt == "A slow violin piece: 1=1 2=2 3=1 4=4 5=1 6=2"
        and piece.sections[0].music.instrument == "violin"
    )
    assert "".join(one.letter for one in piece.sections) == "ABAC"
    for one in MANY:
        assert len(one.sections) == n_sections(one.tempo) and one.sections[0].music.instrument == one.instrument


@pytest.mark.parametrize(
    ("kind", "same", "other"),
    [
        (Kind.exact, {"melody", "rhythm", "chords", "key", "instrument"}, set()),
        (Kind.transposed, {"melody", "rhythm", "chords", "instrument"}, {"key"}),
        (Kind.reorchestrated, {"melody", "rhythm", "chords", "key"}, {"instrument"}),
        (Kind.decoy, {"rhythm", "chords", "key", "instrument"}, {"melody"}),
    ],
)
def test_a_section_keeps_of_its_source_what_its_kind_says(kind: Kind, same: set[str], other: set[str]) -> None:
    found = of_kind(kind)
    assert len(found) > 300
    for piece, at in found:
        one, source = piece.sections[at], piece.sections[piece.sections[at].source or 0]
        assert all(getattr(one.music, name) == getattr(source.music, name) for name in same)
        assert all(getattr(one.music, name) != getattr(source.music, name) for name in other)
        assert (one.letter == source.letter) is kind.returns
        assert piece.annotated[at].semitones == one.music.key - source.music.key


def test_decoys_share_no_more_of_the_melody_than_chance() -> None:
    agree = [
        a == b
        for piece, at in of_kind(Kind.decoy)
        for a, b in zip(
            piece.sections[at].music.melody, piece.sections[piece.sections[at].source or 0].music.melody, strict=True
        )
    ]
    assert abs(np.mean(agree) - 1 / 8) < 4 * np.sqrt(1 / 8 * 7 / 8 / len(agree))


def test_told_sections_of_a_letter_are_one_melody_and_of_others_not() -> None:
    for piece in MANY:
        if piece.regime != TOLD:
            continue
        assert "".join(one.letter for one in piece.sections) == piece.form[: len(piece.sections)]
        melodies = {one.letter: one.music.melody for one in piece.sections}
        assert all(one.music.melody == melodies[one.letter] for one in piece.sections)
        assert len(set(melodies.values())) == len(melodies)


def test_hinted_cadences_are_open_before_returns_and_there_only() -> None:
    for piece in MANY:
        if piece.regime == HINTED:
            assert [one.open for one in piece.sections] == [one.kind.returns for one in piece.sections[1:]] + [False]


def _p_of_independence(facts: list[tuple[object, bool]]) -> float:
    rows = sorted({fact for fact, _ in facts}, key=str)
    counts = np.array([[sum(f == row and r is returns for f, r in facts) for returns in (False, True)] for row in rows])
    return float(chi2_contingency(counts)[1])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("fact", ["open", "kind", "instrument", "key", "last note", "rhythm"])
def test_in_blind_pieces_nothing_of_a_section_foretells_whether_the_next_returns(fact: str) -> None:
    pieces = [compose(number, Asked(BLIND)) for number in range(1500)]
    facts = []
    for piece in pieces:
        for one, following in pairwise(piece.sections):
            music = one.music
            value = {
                "open": one.open, "kind": one.kind, "instrument": music.instrument == piece.instrument,
                "key": music.key, "last note": music.melody[-1], "rhythm": music.rhythm,
            }[fact]  # fmt: skip
            facts.append((value, following.kind.returns))
    assert _p_of_independence(facts) > 0.001


def test_the_test_of_independence_finds_what_hinted_pieces_foretell() -> None:
    facts: list[tuple[object, bool]] = [
        (one.open, following.kind.returns)
        for piece in MANY
        if piece.regime == HINTED
        for one, following in pairwise(piece.sections)
    ]
    assert _p_of_independence(facts) < 1e-9


def test_the_prompt_of_an_untold_piece_says_nothing_of_its_form() -> None:
    assert {piece.form for piece in MANY if piece.regime != TOLD} == {"free", "cued"}
    assert {piece.form for piece in MANY if piece.regime == TOLD} == set(TOLD_FORMS)


# -- frames ------------------------------------------------------------------------------------------


def test_truth_by_frame_is_that_of_the_notes() -> None:
    for piece in MANY[:60]:
        facts = truth(piece)
        for section, one in zip(piece.annotated, piece.sections, strict=True):
            assert section.end - section.start == BEATS * piece.beat
            assert (facts["section"][section.start : section.end] == facts["section"][section.start]).all()
            for start, frames, midi in melody_notes(one.music, piece.beat):
                assert (facts["melody"][section.start + start : section.start + start + frames] == midi).all()
                assert facts["onset"][section.start + start] == 1
            assert facts["onset"][section.start : section.end].sum() == len(one.music.melody)
            if section.source is not None:
                frame = section.start + 3
                assert facts["lag"][frame] == frame - (piece.annotated[section.source].start + 3)
                if one.kind is not Kind.transposed and one.kind is not Kind.decoy:
                    assert facts["melody"][frame] == facts["melody"][frame - facts["lag"][frame]]
        assert (facts["section"] == -1).sum() == FRAMES - len(piece.beats) * piece.beat
        ends = [facts["chord"][section.end - 1] for section in piece.annotated]
        tonics = [one.music.key % 12 for one in piece.sections]
        assert [end != tonic for end, tonic in zip(ends, tonics, strict=True)] == [one.open for one in piece.sections]


def test_equal_music_is_equal_samples_until_the_cadence_and_a_decoy_is_not() -> None:
    seen = {Kind.exact: 0, Kind.decoy: 0}
    for piece in MANY[:40]:
        audio = render(piece)
        assert audio.shape == (SAMPLES,) and np.abs(audio).max() <= 1.0
        for section, one in zip(piece.annotated, piece.sections, strict=True):
            if one.kind in seen and section.source is not None:
                length, there = (BEATS - 2) * piece.beat * FRAME, piece.annotated[section.source].start * FRAME
                equal = np.array_equal(audio[section.start * FRAME :][:length], audio[there:][:length])
                assert equal is (one.kind is Kind.exact)
                seen[one.kind] += 1
    assert min(seen.values()) > 5


def test_instruments_sound_different_and_the_cadence_is_heard() -> None:
    piece = compose(3, Asked(BLIND))
    first = piece.sections[0]

    def heard(music: object, opens: bool) -> np.ndarray:
        one = replace(first, music=music, open=opens)  # pyright: ignore[reportArgumentType]
        return render(replace(piece, sections=(one, *piece.sections[1:])))

    sounds = [heard(replace(first.music, instrument=name), False) for name in INSTRUMENTS]
    assert len({sound.tobytes() for sound in sounds}) == len(INSTRUMENTS)
    closed, opened = heard(first.music, False), heard(first.music, True)
    changed = np.flatnonzero(closed != opened) // FRAME
    end = BEATS * piece.beat
    assert end - 2 * piece.beat <= changed.min() and changed.max() < end
    assert decoy_of(first.music, Random(0)).melody != first.music.melody
