"""Notes to tokens and back, where tokens stand, and what cannot be written."""

from __future__ import annotations

import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.models.symbolic.notes import Grid, Note
from mech_music.models.symbolic.pieces import GRID, compose
from mech_music.models.symbolic.tokens import KINDS, NO_PITCH, Tokens

NOTES = [Note(0, 0, 0, 60, 2), Note(0, 0, 1, 40, 4), Note(0, 2, 0, 64, 2), Note(1, 4, 0, 67, 3)]


@pytest.fixture(params=KINDS)
def tokens(request: pytest.FixtureRequest) -> Tokens:
    return KINDS[request.param](GRID)


def test_there_and_back(tokens: Tokens) -> None:
    for number in range(30):
        notes = compose(5, number).notes
        frames = tokens.tensor(notes, 480)
        assert tokens.decode(frames) == list(notes)
        for book, size in zip(frames, tokens.sizes, strict=True):
            assert int(book.min()) >= 0 and int(book.max()) < size
    assert tokens.decode(tokens.tensor([], 3)) == []


def test_notes_are_one_frame_and_events_say_what_changes() -> None:
    note, event = (kind(GRID) for kind in KINDS.values())
    assert note.encode(NOTES)[3] == (GRID.positions + 4, GRID.pitch_number(NOTES[3]), 2)
    assert len(note.encode(NOTES)) == 4
    assert len(event.encode(NOTES)) == 2 + 3 + 2 * 4  # bars, positions, pitches and lengths


def test_where_tokens_stand(tokens: Tokens) -> None:
    """At its last token a note stands where it is; the end stands at the beginning of its bar, without a pitch."""
    frames = tokens.tensor(NOTES, 16)[None]
    at = tokens.places(frames)
    last = list(range(4)) if tokens.name == "note" else [3, 5, 8, 12]
    found = [(int(at.bar[0, i]), int(at.position[0, i]), int(at.pitch[0, i])) for i in last]
    assert found == [(note.bar, note.position, note.pitch) for note in NOTES]
    assert int(at.pitch[0, -1]) == NO_PITCH
    for n in range(1, 14):  # what follows does not matter
        part = tokens.places(frames[..., :n])
        for name in ("index", "bar", "position", "pitch"):
            assert torch.equal(getattr(part, name), getattr(at, name)[:, :n])


def test_any_tokens_are_decoded(tokens: Tokens) -> None:
    """An edited model may write what makes no sense: no error, and nothing outside the grid's pitches."""
    random = torch.Generator().manual_seed(0)
    frames = torch.randint(max(tokens.sizes), (20, tokens.n_codebooks, 60), generator=random)
    at = tokens.places(frames)
    assert int(at.bar.max()) <= GRID.bars and int(at.position.min()) >= 0
    assert set(at.pitch.unique().tolist()) <= {NO_PITCH, *(pitch for _, pitch in GRID.pitches)}
    for row in frames:
        for note in tokens.decode(row):
            GRID.check([note._replace(bar=0)])


@pytest.mark.parametrize(
    ("note", "line"),
    [
        (Note(16, 0, 0, 60, 1), "^a note begins in bar 17 at position 0: the grid has 16 bars of 8 positions"),
        (Note(0, 8, 0, 60, 1), "^a note begins in bar 1 at position 8"),
        (Note(0, 0, 2, 60, 1), "^a note is of track 3: the grid has 2 tracks"),
        (Note(0, 0, 0, 20, 1), "^pitch 20 of track 'melody' is outside the vocabulary, which goes from 31 to 97"),
        (Note(0, 0, 0, 60, 9), "^a note is 9 positions long: expected 1 to 8"),
        (Note(1, 0, 0, 60, 1), "^bar 1 has no note"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_grid_cannot_hold_is_one_line(tokens: Tokens, note: Note, line: str) -> None:
    with pytest.raises(UserError, match=line):
        tokens.encode([note])
    with pytest.raises(UserError, match="^a piece has .* tokens, the clip 2: raise duration"):
        tokens.tensor(NOTES, 2)


def test_a_grid_is_written_and_read() -> None:
    assert Grid.from_dict(GRID.to_dict()) == GRID
