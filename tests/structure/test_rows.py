"""Rows (piece, t, δ): which moments are asked, what about, and which horizons there are."""

from __future__ import annotations

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.structure.forecast.rows import Clock, horizons_of, rows_at
from tests.structure.made_pieces import BEAT, SECTION, made_piece, made_pieces


def test_rows_by_hand() -> None:
    piece = made_piece(0, "rnr")
    rows = rows_at([made_piece(1, "nnn"), piece], 3, Clock.beats, least=0)
    own = rows[rows.piece == 1]
    # The last three beats of sections 1 and 2: three beats later another section plays. None in the first section.
    assert (own.beat - 32).tolist() == [13, 14, 15, 21, 22, 23]
    assert own.section.tolist() == [1, 1, 1, 2, 2, 2] and own.later.tolist() == [2, 2, 2, 3, 3, 3]
    assert own.returns.tolist() == [False] * 3 + [True] * 3
    assert own.into.tolist() == [5, 6, 7, 5, 6, 7] and own.seconds.tolist() == [13, 14, 15, 21, 22, 23]


def test_no_row_is_asked_about_its_own_section() -> None:
    pieces = made_pieces(20)
    for clock, horizon in ((Clock.seconds, 1.5), (Clock.beats, 2), (Clock.bars, 1), (Clock.bars, 3)):
        rows = rows_at(pieces, horizon, clock, least=0)
        assert len(rows) and (rows.later > rows.section).all() and (rows.section > 0).all()
        truth = [pieces[p].sections[later].kind.returns for p, later in zip(rows.piece, rows.later, strict=True)]
        assert rows.returns.tolist() == truth


def test_clocks_agree_where_they_must() -> None:
    """A beat is a second here, and a bar four beats."""
    pieces = made_pieces(5)
    beats, bars, seconds = (rows_at(pieces, one, clock, 0) for clock, one in
                            ((Clock.beats, 4), (Clock.bars, 1), (Clock.seconds, 4.0)))  # fmt: skip
    for other in (bars, seconds):
        assert all(np.array_equal(getattr(beats, name), getattr(other, name)) for name in ("piece", "beat", "later"))


def test_beats_on_which_nothing_begins_are_no_moments() -> None:
    piece = made_piece(0, "rrr")
    held = tuple(frame - BEAT if number == SECTION + 5 else frame for number, frame in enumerate(piece.beats))
    rows = rows_at([made_piece(0, "rrr", beats=held)], 3, Clock.beats, least=0)
    assert SECTION + 5 not in rows.beat and SECTION + 6 in rows.beat
    assert rows_at([piece], 3, Clock.beats, least=60).beat.tolist() == [15, 21, 22, 23], "frames that windows need"


def test_horizons_that_fit_and_that_do_not() -> None:
    pieces = made_pieces(3)
    assert [*horizons_of(pieces, (), Clock.bars, 0)] == [1, 2, 3, 4]  # 6 and 8 bars lead out of 8 bars, or nowhere
    assert [*horizons_of(pieces, (2, 3), Clock.beats, 0)] == [2, 3]
    with pytest.raises(UserError, match="^horizons: 40 seconds reach beyond piece 'piece-0', which has 32 seconds: "):
        horizons_of(pieces, (5, 40), Clock.seconds, 0)
    with pytest.raises(UserError, match="^horizons: no moment after the first section has another section 30 seconds"):
        horizons_of(pieces, (30,), Clock.seconds, 0)
    with pytest.raises(UserError, match="^horizons_in=bars: the bars of piece 'piece-4' are not known"):
        horizons_of([*pieces, made_piece(4, bars=())], (1,), Clock.bars, 0)
    short = made_piece(5, beats=tuple(range(0, 12, 4)), bars=(0,), sections=(), codes=np.zeros((1, 12), int))
    with pytest.raises(UserError, match="^horizons: 5 seconds reach beyond piece 'piece-5', which has 3 seconds"):
        horizons_of([*pieces, short], (5,), Clock.seconds, 0)
