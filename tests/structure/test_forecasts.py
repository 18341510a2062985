"""Probes where the truth is planted: a direction that announces returns is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.metrics.inference import margins
from mech_music.structure.forecast.controls import PLAIN, position, prompt, prompt_and_position, shuffled
from mech_music.structure.forecast.forecasts import Question, answered, questions
from mech_music.structure.forecast.probes import Probe, fold_of, forecast
from mech_music.structure.forecast.rows import Clock, horizons_of
from mech_music.structure.forecast.scores import by_track
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind
from tests.structure.made_pieces import made_piece, made_pieces

FAST = Probe(folds=4, inner=2)
QUICK = Probe(folds=3, inner=2)


def asked_about(
    pieces: Sequence[AnnotatedPiece], horizons: Sequence[float] = (8,), probe: Probe = FAST
) -> list[Question]:
    return questions(pieces, horizons_of(pieces, tuple(horizons), Clock.beats, 0), probe)


def activations(question: Question, seed: int, strength: float = 0.0, width: int = 12) -> np.ndarray:
    """Noise with a clock in it, of each moment, and along one direction what returns later."""
    rows, random = question.rows, np.random.default_rng(seed)
    noise = random.normal(0, 1, (1 + int(rows.beat.max()), width))[rows.beat]
    noise[:, 0] += rows.seconds / 4
    noise[:, 1] += strength * rows.returns
    return noise


def auc(question: Question, columns: np.ndarray, dealt: bool = False) -> np.ndarray:
    """By track."""
    p = answered(question, columns, dealt)
    return by_track(p, question.labels(dealt), question.fold, question.track)[1]["auc"]


def gap(question: Question, seed: int, strength: float) -> np.ndarray:
    """``[control, track]``: of the probe less plain controls, and less labels dealt anew."""
    columns = activations(question, seed, strength)
    own, controls = (
        auc(question, columns),
        [auc(question, make(question.pieces, question.rows)) for make in PLAIN.values()],
    )
    return own - np.stack([*controls, auc(question, columns, dealt=True)])


def test_a_planted_direction_is_found_beyond_controls() -> None:
    (question,) = asked_about(made_pieces(60))
    found = gap(question, 0, strength=1.0)
    (told,) = margins([found[None]], 200, 0.95, 0, flips=999)
    assert told.mean.min() > 0.05 and told.low.min() > 0 and told.above.max() <= 0.05


def test_without_anything_to_foresee_nothing_is_marked() -> None:
    """Beside two controls alone, so that the others do not make marks rarer than they may be."""
    marked = 0
    for run in range(20):
        (question,) = asked_about(made_pieces(24, seed=run), (3,), QUICK)
        columns = activations(question, run)
        controls = auc(question, position(question.pieces, question.rows)), auc(question, columns, dealt=True)
        (told,) = margins([(auc(question, columns) - np.stack(controls))[None]], 50, 0.95, run, flips=199)
        marked += bool(np.nanmax(told.above) <= 0.05)
    assert marked <= 1


def test_a_probe_that_is_given_the_position_does_not_pass() -> None:
    """Sections of one number return more often: whoever knows the clock tells, and so does its control."""
    random = np.random.default_rng(3)
    pieces = [
        made_piece(n, "".join("r" if random.random() < share else "n" for share in (0.1, 0.1, 0.9))) for n in range(60)
    ]
    (question,) = asked_about(pieces)
    columns = activations(question, 0)
    own, control = auc(question, columns), auc(question, position(question.pieces, question.rows))
    assert own.mean() > 0.75, "the clock tells"
    (told,) = margins([(own - control)[None, None]], 200, 0.95, 0, flips=999)
    assert told.above.max() > 0.05 and told.mean.max() < 0.02


def test_each_control_tells_what_it_is_about_and_no_more() -> None:
    forms = {"rnr": "form one", "nrn": "form two"}
    pieces = [
        made_piece(n, form, f"A piece in {words}.") for n in range(30) for form, words in [[*forms.items()][n % 2]]
    ]
    (question,) = asked_about(pieces)
    scores = {name: auc(question, make(pieces, question.rows)).mean() for name, make in PLAIN.items()}
    assert scores["prompt_position"] > 0.99, "each form tells what each section is"
    assert scores["prompt"] < 0.7 and scores["position"] < 0.7, "neither does without the other"
    assert prompt([made_piece(0), made_piece(1)], question.rows[question.rows.piece < 2]).any() == 0, (
        "one prompt for all"
    )
    width = sum(make(pieces, question.rows).shape[1] for make in (prompt, position))
    assert prompt_and_position(pieces, question.rows).shape[1] > width


def test_labels_are_dealt_within_positions() -> None:
    pieces = made_pieces(40)
    (question,) = asked_about(pieces)
    dealt, rows = shuffled(pieces, question.rows, 0), question.rows
    assert (dealt != rows.returns).mean() > 0.2
    for number in (2, 3):
        at = rows.later == number
        by_piece = [[labels[at & (rows.piece == piece)] for piece in range(40)] for labels in (rows.returns, dealt)]
        assert all(len(set(own.tolist())) == 1 for own in by_piece[1]), "sections stay whole"
        assert sum(own[0] for own in by_piece[0]) == sum(own[0] for own in by_piece[1]), "as many return as before"


def test_no_fit_sees_the_track_it_is_asked_about() -> None:
    """A column that names the track, and labels that only the track tells: worth nothing out of fold."""
    track = np.repeat(np.arange(12), 10)
    fold = fold_of(track, 4, 0)
    y = np.isin(track, [min(track[fold == one]) for one in range(4)])  # one track of each fold
    assert all(len(set(fold[track == one].tolist())) == 1 for one in range(12))
    assert np.bincount([fold[track == one][0] for one in range(12)]).tolist() == [3] * 4
    p = forecast(np.eye(12)[track], y, track, fold, FAST)
    for one in range(12):
        own = p[track == one]
        assert np.ptp(own) == 0
        others = p[(fold == fold[track == one][0]) & (track != one)]
        assert np.allclose(others, own[0], atol=1e-6), "tracks that were not seen are all alike"


def test_components_are_fitted_within_folds() -> None:
    """Two columns that tell the same: their common component has most of the variance."""
    (question,) = asked_about(made_pieces(30), probe=Probe(3, 2, components=1))
    alike = np.random.default_rng(0).normal(0, 0.1, (len(question.rows), 2)) + question.rows.returns[:, None]
    noise = np.random.default_rng(1).normal(0, 1, (len(question.rows), 1))
    assert auc(question, np.hstack([alike, noise])).mean() > 0.99
    (question,) = asked_about(made_pieces(30), probe=Probe(3, 2, components=2))
    assert auc(question, np.hstack([alike, noise])).mean() > 0.99


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        (
            [made_piece(n, "rrr") for n in range(8)],
            r"^horizon 8: fold 0 has one class only \(returns\): raise n_pieces",
        ),
        (made_pieces(3), r"^horizon 8: 3 tracks have rows, too few for 4 folds: raise n_pieces, or lower probe.folds"),
    ],
)
def test_what_cannot_be_asked_is_one_line(pieces: list[AnnotatedPiece], line: str) -> None:
    with pytest.raises(UserError, match=line):
        asked_about(pieces)


def test_of_the_usual_horizons_those_that_cannot_be_asked_are_left_out() -> None:
    """Sixteen beats later is the fourth section alone, which always returns."""
    pieces = [made_piece(n, "rnr" if n % 2 else "nrr") for n in range(16)]
    horizons = horizons_of(pieces, (8.0, 16.0), Clock.beats, 0)
    assert [one.horizon for one in questions(pieces, horizons, FAST, usual=True)] == [8.0]
    with pytest.raises(UserError, match=r"^horizon 16: fold 0 has one class only \(returns\)"):
        questions(pieces, horizons, FAST)
    with pytest.raises(UserError, match="^horizon 16: "):
        questions(pieces, {16.0: horizons[16.0]}, FAST, usual=True)


def test_activations_that_overflow_are_refused() -> None:
    (question,) = asked_about(made_pieces(12))
    columns = activations(question, 0)
    columns[3, 2] = np.nan
    with pytest.raises(UserError, match="^horizon 8: a probe's columns have values that are not finite"):
        answered(question, columns)


def test_regimes_are_asked_apart() -> None:
    kinds: Mapping[str, str] = {"told": "rnr", "blind": "nrn"}
    pieces = [made_piece(n, kinds[r], regime=r) for n, r in enumerate(["told", "blind"] * 6)]
    found = asked_about(pieces, (4, 8))
    assert [one.name for one in found] == ["told/4", "told/8", "blind/4", "blind/8"]
    for one in found:
        assert {pieces[number].regime for number in one.rows.piece} == {one.regime}
        assert sorted(set(one.track.tolist())) == list(range(6))
        assert {pieces[number].sections[2].kind for number in one.rows.piece} <= {Kind.new, Kind.exact}
