"""Which forecasts a config asks for, and the lines of the table that they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mech_music.structure.forecast.controls import PLAIN
from mech_music.structure.forecast.forecasts import Question, questions
from mech_music.structure.forecast.named import Forecasts, Sight
from mech_music.structure.forecast.scores import by_track
from mech_music.tasks.horizon.columns import HORIZON
from mech_music.tasks.horizon.settings import HorizonSettings as Settings

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers

_OF_HOOKS = {
    "probe": (Sight.whole, ""),
    "shuffled": (Sight.whole, ""),
    "random": (Sight.untrained, ""),
    "local": (Sight.local, ""),
    "local_position": (Sight.local, "position"),
}
"""By role: what activations are read of, and what columns are beside them."""


@dataclass(frozen=True)
class Asked:
    """One role's forecasts; ``layer`` None for controls without activations."""

    role: str
    layer: int | None
    source: Forecasts


def asked(run: Settings) -> list[Asked]:
    """The probe and its controls at each layer, and the controls that have no layer."""
    annotated, fitting = run.annotated, run.fitting
    of_hooks = [
        Asked(role, layer, Forecasts(annotated, run.at_beats(layer, sight), fitting, role == "shuffled", beside))
        for layer in run.layers
        for role, (sight, beside) in _OF_HOOKS.items()
    ]
    plain = [Asked(role, None, Forecasts(annotated, role, fitting)) for role in PLAIN]
    return [*of_hooks, *plain, Asked("acoustics", None, Forecasts(annotated, run.acoustics, fitting))]


def asked_of(run: Settings, answers: Answers) -> list[Question]:
    """Every regime and horizon that pieces allow."""
    annotated = run.annotated
    return questions(*annotated.read(answers.records[annotated]), run.fitting, annotated.usual)


def lines_of(run: Settings, one: Asked, question: Question, answers: Answers) -> Iterator[dict[str, Any]]:
    """A line for each track with rows."""
    p = answers.records[one.source][question.name].astype(np.float64)
    y = question.labels(one.source.dealt)
    tracks, scores = by_track(p, y, question.fold, question.track)
    names = {
        track: question.pieces[piece].track for track, piece in zip(question.track, question.rows.piece, strict=True)
    }
    for place, track in enumerate(tracks.tolist()):
        own = question.track == track
        yield {
            "task": HORIZON.task,
            "model": run.model.name,
            "role": one.role,
            "component": "" if one.layer is None else run.component.value,
            "layer": "" if one.layer is None else str(one.layer),
            "regime": question.regime,
            "horizon": question.horizon,
            "horizons_in": run.horizons_in.value,
            "pieces": str(run.pieces["name"]),
            "duration": float(run.duration),
            "seed": run.probe.seed,
            "prompts": int(tracks[-1]) + 1,
            "prompt_set": run.study.name,
            "index": track,
            "track": names[track],
            "rows": int(own.sum()),
            "returns": float(question.rows.returns[own].mean()),
            "failed": False,
            **{name: float(values[place]) for name, values in scores.items()},
        }
