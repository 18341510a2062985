"""Probes and their controls on annotated pieces, as recordings: a probability for every row, out of fold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from mech_music.activations.recipes import Making, register
from mech_music.base.errors import UserError
from mech_music.base.workers import Advance
from mech_music.saes.progress import progress
from mech_music.structure.forecast.controls import PLAIN, shuffled
from mech_music.structure.forecast.named import Columns, Forecasts, Tensors
from mech_music.structure.forecast.probes import Probe, fold_of, forecast, one_class
from mech_music.structure.forecast.rows import Rows
from mech_music.structure.pieces.annotated import AnnotatedPiece


@dataclass(frozen=True)
class Question:
    """One regime and horizon: its rows, and what a probe is asked of them.

    ``track``: numbers of tracks within the regime; ``fold``: of rows.
    """

    regime: str
    horizon: float
    pieces: Sequence[AnnotatedPiece]
    rows: Rows
    track: Int[np.ndarray, " row"]
    probe: Probe

    @property
    def name(self) -> str:
        """Of its tensor in a record."""
        return f"{self.regime}/{self.horizon:g}"

    @cached_property
    def fold(self) -> Int[np.ndarray, " row"]:
        """UserError for too few tracks."""
        try:
            return fold_of(self.track, self.probe.folds, self.probe.seed)
        except UserError as error:
            raise UserError(f"{self}: {error}") from None

    def labels(self, dealt: bool) -> Bool[np.ndarray, " row"]:
        """What is to be told."""
        return shuffled(self.pieces, self.rows, self.probe.seed) if dealt else self.rows.returns

    @cached_property
    def why_not(self) -> str:
        """Why it cannot be asked, of its labels or of those dealt anew; empty if it can."""
        found = [one_class(self.labels(dealt), self.fold) for dealt in (False, True)]
        return next((f"{self}: {reason}" for reason in found if reason), "")

    def __str__(self) -> str:
        return f"horizon {self.horizon:g}{f', {self.regime} pieces' if self.regime else ''}"


def questions(
    pieces: Sequence[AnnotatedPiece], horizons: Mapping[float, Rows], probe: Probe, usual: bool = False
) -> list[Question]:
    """Every regime and horizon that has rows, in the order of pieces.

    UserError for one that cannot be asked; if nobody named the horizons (``usual``), only where none can.
    """
    found: list[Question] = []
    for regime in dict.fromkeys(piece.regime for piece in pieces):
        tracks = list(dict.fromkeys(piece.track for piece in pieces if piece.regime == regime))
        number = np.array([tracks.index(piece.track) if piece.regime == regime else -1 for piece in pieces])
        for horizon, rows in horizons.items():
            own = rows[number[rows.piece] >= 0]
            if len(own):
                found.append(Question(regime, horizon, pieces, own, number[own.piece], probe))
    possible = [question for question in found if not question.why_not]
    if len(possible) < (1 if usual else len(found)):
        raise UserError(next(question.why_not for question in found if question.why_not))
    return possible


class _Forecasts:
    """Recipe of `Forecasts`. Records ``<regime>/<horizon> [row]``."""

    def needs(self, source: Forecasts) -> Sequence[object]:
        return (source.annotated, *(() if isinstance(source.columns, str) else (source.columns,)))

    def together(self, source: Forecasts) -> Hashable:
        return (source.annotated, source.probe)

    def make(self, sources: Sequence[Forecasts], making: Making) -> Mapping[Forecasts, Tensors]:
        first, recording = sources[0], making.passes.recording
        record = {name: one.numpy() for name, one in recording.get(first.annotated).items()}
        asked = questions(*first.annotated.read(record), first.probe, first.annotated.usual)
        units = [(source, question) for source in sources for question in asked]
        at_beats: dict[Columns, np.ndarray] = {
            source.columns: recording.get(source.columns)["beats"].numpy()
            for source in sources
            if not isinstance(source.columns, str)
        }
        with progress("probes", len(units), making.quiet) as show:

            def work(unit: tuple[Forecasts, Question], advance: Advance) -> Float[np.ndarray, " row"]:
                source, question = unit
                columns = columns_of(source, question, at_beats)
                advance(1)
                return answered(question, columns, source.dealt)

            found = making.spread(work, units, show)
        records: dict[Forecasts, dict[str, np.ndarray]] = {source: {} for source in sources}
        for (source, question), p in zip(units, found, strict=True):
            records[source][question.name] = p.astype(np.float32)
        return records


def columns_of(
    source: Forecasts, question: Question, at_beats: Mapping[Columns, np.ndarray]
) -> Float[np.ndarray, "row column"]:
    """What a probe is given. ``at_beats``: the recordings that there are."""
    names = (source.columns, source.beside) if source.beside else (source.columns,)
    rows = question.rows
    return np.hstack(
        [PLAIN[one](question.pieces, rows) if isinstance(one, str) else at_beats[one][rows.beat] for one in names]
    )


def answered(
    question: Question, columns: Float[np.ndarray, "row column"], dealt: bool = False
) -> Float[np.ndarray, " row"]:
    """The probability of a return in every row, out of fold. UserError where it cannot be asked."""
    varying = np.ptp(columns, axis=0) != 0  # NaN varies as well
    varying[0] |= not varying.any()
    labels, fold = question.labels(dealt), question.fold
    try:
        return forecast(columns[:, varying], labels, question.track, fold, question.probe)
    except UserError as error:
        raise UserError(f"{question}: {error}") from None


register(Forecasts, _Forecasts())
