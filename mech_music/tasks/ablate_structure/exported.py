"""What is left beside the tables: the numbers of a verdict, and where found heads look, by lag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.base.atomic import replacing
from mech_music.structure.causes.arcs import arcs_of
from mech_music.structure.causes.candidates import heads_of
from mech_music.structure.causes.causality import CAUSAL, Statistics
from mech_music.structure.causes.conditions import Arcs, Condition, Study
from mech_music.structure.causes.heads import Head
from mech_music.structure.pieces.packing import unpacked
from mech_music.structure.pieces.timeline import TIMELINES, timeline
from mech_music.tasks.ablate_structure.lag_figure import lag_figure
from mech_music.tasks.ablate_structure.settings import AblateStructureSettings as Settings
from mech_music.tasks.ablate_structure.verdict import as_json, causality_of

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers

LEAST = 0.1
"""Of a beat's attention, for an arc."""


def export(run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
    """``causal.json``: the fingerprint of the model's ``weights``, and a `Causality` for each size and way, that of
    ``size`` and the first way first. ``timelines.json``: pieces with where the found heads look. ``figures/``: the same
    by lag."""
    how = Statistics(run.statistics.resamples, run.statistics.level, run.statistics.seed)
    first, *others = run.ways
    asked = dict.fromkeys(
        [(run.at, first), *((size, first) for size in run.used_sizes), *((run.at, way) for way in others)]
    )
    with replacing(folder / CAUSAL) as path:
        found = [as_json(causality_of(table, size, way, how)) for size, way in asked]
        told = {"model": run.model.name, "weights": weights, "pieces": run.scores.pieces.id, "found": found}
        path.write_text(json.dumps(told, indent=1) + "\n")
    shown = [piece for one in run.arcs for piece in _timelines(run, one, answers)]
    with replacing(folder / TIMELINES) as path:
        path.write_text(json.dumps(shown, separators=(",", ":")) + "\n")
    if run.kind == "heads":
        scores = answers.records[run.scores]
        lag_figure(scores, _found(run, scores), how, run.model.name, folder / "figures")


def _timelines(run: Settings, source: Arcs, answers: Answers) -> list[dict[str, Any]]:
    """Pieces that were tested on, from beginning to end, and to which earlier beats each found head looks."""
    record, found = answers.records[source], []
    for piece, attention in zip(unpacked(record["pieces"]), record["attention"], strict=True):
        own = {
            str(Head(*head)): arcs_of(one, LEAST) for head, one in zip(record["heads"].tolist(), attention, strict=True)
        }
        beats = [round(frame / piece.frame_rate, 3) for frame in piece.beats]
        found.append(timeline(piece, run, answers) | {"beats": beats, "arcs": own})
    return found


def _found(run: Settings, scores: Mapping[str, np.ndarray]) -> list[Head]:
    study = Study(run.scores, run.edited, run.half)
    return heads_of(study, Condition("found", run.at, 0, run.ways[0]), scores)
