"""What forecasts leave beside their table: calibration, the verdict, and pieces from beginning to end."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.base.atomic import replacing
from mech_music.results.tables import lines_of, summarise
from mech_music.structure.causes.causality import read_criteria
from mech_music.structure.forecast.forecasts import Question
from mech_music.structure.forecast.scores import reliability
from mech_music.structure.pieces.annotated import AnnotatedPiece
from mech_music.structure.pieces.timeline import TIMELINES, timeline
from mech_music.structure.verdict import OPEN, Criterion, verdict
from mech_music.tasks.horizon.asked import Asked, asked, asked_of
from mech_music.tasks.horizon.columns import HORIZON
from mech_music.tasks.horizon.settings import HorizonSettings as Settings

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers

VERDICT = "verdict.csv"


def export(run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
    """Write all of it."""
    questions, roles = asked_of(run, answers), asked(run)
    _write(_calibration(questions, roles, answers), folder / "calibration.csv")
    how = run.statistics
    summary = summarise(HORIZON.attach(table), how.resamples, how.level, how.seed, how.equivalence)
    edited = read_criteria(run.causal, run.model.name, run.given.id, weights) if run.causal else {}
    given = {question.regime: edited for question in questions}
    lines = [
        (regime, one.name, one.holds, one.told)
        for regime, own in verdict(lines_of(table), lines_of(summary), given).items()
        for one in own
    ]
    _write(pd.DataFrame(lines, columns=pd.Index(["regime", "criterion", "holds", "told"])), folder / VERDICT)
    shown = [_timeline(run, piece, questions, roles, answers) for piece in _chosen(questions, run.timelines)]
    with replacing(folder / TIMELINES) as path:
        path.write_text(json.dumps(shown, separators=(",", ":")) + "\n")


def given_by_edits(folder: Path) -> dict[str, dict[str, Criterion]]:
    """By regime and name the criteria that are no forecasts', from the verdict that a job left in its folder."""
    found: dict[str, dict[str, Criterion]] = {}
    if (path := folder / VERDICT).is_file():
        holds = {"True": True, "False": False}
        with path.open(newline="", encoding="utf-8") as written:
            for line in csv.DictReader(written):
                if (name := line["criterion"]) in OPEN:
                    found.setdefault(line["regime"], {})[name] = Criterion(name, holds.get(line["holds"]), line["told"])
    return found


def _write(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g")


def _calibration(questions: Sequence[Question], roles: Sequence[Asked], answers: Answers) -> pd.DataFrame:
    """Ten bins of each forecast: what was said, and what came of it."""
    lines = []
    for one in roles:
        for question in questions:
            p, y = answers.records[one.source][question.name], question.labels(one.source.dealt)
            told = (one.role, "" if one.layer is None else one.layer, question.regime, question.horizon)
            lines += [(*told, number, *found) for number, found in enumerate(reliability(p, y))]
    columns = ["role", "layer", "regime", "horizon", "bin", "probability", "returns", "rows"]
    return pd.DataFrame(lines, columns=pd.Index(columns))


def _chosen(questions: Sequence[Question], n: int) -> list[AnnotatedPiece]:
    """The first pieces of each regime that have rows."""
    found: dict[str, dict[int, AnnotatedPiece]] = {}
    for question in questions:
        own = found.setdefault(question.regime, {})
        for number in np.unique(question.rows.piece).tolist():
            own[number] = question.pieces[number]
    return [own[number] for own in found.values() for number in sorted(own)[:n]]


def _timeline(
    run: Settings, piece: AnnotatedPiece, questions: Sequence[Question], roles: Sequence[Asked], answers: Answers
) -> dict[str, Any]:
    """Sections, and what every probe said at each moment, for each layer and horizon."""
    forecasts = []
    for question in (one for one in questions if one.regime == piece.regime):
        at = np.flatnonzero([question.pieces[number].name == piece.name for number in question.rows.piece])
        said = {
            f"{one.layer}": np.round(answers.records[one.source][question.name][at], 3).astype(float).tolist()
            for one in roles
            if one.role == "probe"
        }
        told = {"horizon": question.horizon, "seconds": question.rows.seconds[at].round(3).tolist()}
        forecasts.append(told | {"layers": said, "returns": question.rows.returns[at].astype(int).tolist()})
    return timeline(piece, run, answers) | {"forecasts": forecasts}
