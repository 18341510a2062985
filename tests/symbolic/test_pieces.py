"""Planted pieces are what their truth says, and the listener hears in the notes what was asked for."""

from __future__ import annotations

from collections import Counter

import numpy as np
from omegaconf import OmegaConf

from mech_music.config.paths import find_config
from mech_music.models.symbolic.attributes import ATTRIBUTES, controls_of, read_prompt
from mech_music.models.symbolic.listener import Notes
from mech_music.models.symbolic.notes import Note
from mech_music.models.symbolic.pieces import BASS, GRID, SECTION_BARS, Kind, Piece, compose
from mech_music.prompts.declared import load_prompt_set

PIECES = [compose(11, number) for number in range(250)]
RETURNS = (Kind.exact, Kind.transposed)


def bar_of(piece: Piece, bar: int, semitones: int = 0) -> list[Note]:
    return [note.moved(semitones, -bar) for note in piece.notes if note.bar == bar]


def test_the_same_number_is_the_same_piece() -> None:
    assert compose(11, 3) == PIECES[3] != compose(12, 3)
    asked = compose(11, 3, {"mode": "minor", "form": "AABA"})
    assert (asked.attributes["mode"], asked.regime) == ("minor", "told")


def test_returns_are_copies_and_the_others_are_not() -> None:
    compared: Counter[Kind] = Counter()
    for piece in PIECES:
        for bar in range(GRID.bars):
            kind, source = piece.kind_of(bar), piece.source_of(bar)
            if source is None:
                assert kind is Kind.new
                continue
            here, there = bar_of(piece, bar), bar_of(piece, source, piece.section_of(bar).semitones)
            compared[kind] += here == there
            compared[kind, "all"] += 1  # pyright: ignore[reportArgumentType]
            rhythms = [{(note.position, note.track) for note in notes} for notes in (here, there)]
            assert rhythms[0] == rhythms[1], "a decoy has the rhythm of its source as well"
            bass = [[note.pitch for note in notes if note.track == BASS] for notes in (here, there)]
            assert bass[0] == bass[1], "and its harmony"
    assert all(compared[kind] == compared[kind, "all"] > 200 for kind in RETURNS)  # pyright: ignore[reportArgumentType]
    assert compared[Kind.decoy] < 0.1 * compared[Kind.decoy, "all"]  # pyright: ignore[reportArgumentType]


def test_a_cadence_announces_returns_in_cued_forms_alone() -> None:
    """The bass of a section's last bar: open (on the fifth) before a return; in free forms a coin decides."""
    opened: dict[str, list[tuple[bool, bool]]] = {"cued": [], "free": [], "told": []}
    for piece in PIECES:
        tonics = [note.pitch for note in piece.notes if note.track == BASS and note.position == 0]
        bass = {note.bar: note.pitch for note in piece.notes if note.track == BASS and note.position == 0}
        assert len(tonics) == GRID.bars
        for at, after in enumerate(piece.sections[1:]):
            first, last = bass[at * SECTION_BARS], bass[at * SECTION_BARS + SECTION_BARS - 1]
            opened[piece.regime].append((last != first, after.kind in RETURNS))
    assert all(is_open == returns for is_open, returns in opened["cued"])
    free = np.array(opened["free"])
    assert abs(free[free[:, 1], 0].mean() - free[~free[:, 1], 0].mean()) < 0.15


def test_a_told_form_is_the_form() -> None:
    for piece in (piece for piece in PIECES if piece.regime == "told"):
        letters = piece.attributes["form"]
        for at, section in enumerate(piece.sections):
            assert (section.kind in RETURNS) == (letters[at] in letters[:at])
            if section.kind in RETURNS:
                assert section.source is not None and letters[section.source] == letters[at]


def test_prompts_say_what_controls_are() -> None:
    study = load_prompt_set("symbolic")
    for piece in PIECES:
        text = study.fill(piece.attributes).text
        assert read_prompt(text) == piece.attributes
        assert 0 not in controls_of(piece.attributes)
    assert read_prompt("Compose a happy rock piece, A sharp one.") == {}
    assert read_prompt("In the key of B-flat, dense.") == {"key": "B-flat", "density": "dense"}
    assert controls_of({"metre": "four-four"}) == [0, 0, 2, 0, 0, 0]


def test_the_listener_hears_what_was_asked_for() -> None:
    classes = list(OmegaConf.load(find_config("listener", "notes")).classes)
    listener = Notes(classes)
    right: dict[str, list[bool]] = {}
    for piece in PIECES:
        of = dict(zip(classes, listener.logits(piece.notes, GRID), strict=True))
        for name in ("mode", "key", "metre", "density", "register"):
            heard = max(ATTRIBUTES[name], key=lambda word: of[word])
            right.setdefault(name, []).append(heard == piece.attributes[name])
    share = {name: np.mean(found) for name, found in right.items()}
    assert share["metre"] == share["density"] == 1 and share["register"] > 0.98
    assert share["key"] > 0.95 and share["mode"] > 0.9, share
    assert not listener.logits([], GRID).any()
