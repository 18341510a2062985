"""Interchange interventions: put one concept's mean activations in the place of another's.

Vélez Vásquez, Pouw, Burgoyne, Zuidema, "Exploring the inner mechanisms of large generative music
models" (ISMIR 2024), section 3: generate from prompts of the *original* concept while a hook's output
is replaced by, or adjusted towards, its mean over prompts of the *desired* concept; ask the classifier
what became of either. Each table carries its controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float64

from mech_music.edits.row import Row
from mech_music.metrics import measures as metrics
from mech_music.metrics.concepts import kept_category, kept_words, rivals
from mech_music.models.hooks import Hook
from mech_music.prompts.concepts import Concept
from mech_music.results.audio import Choice
from mech_music.tasks.interchange.clips import chosen_clips
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.declared import ExtraMetric, Heard, load_control, load_metric
from mech_music.tasks.interchange.settings import InterchangeSettings as Settings
from mech_music.tasks.interchange.trials import Trial, trials

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.dashboard.panels import Section
    from mech_music.engine.engine import Answers
    from mech_music.listeners.protocol import Reading
    from mech_music.report.view import View
    from mech_music.results.columns import Schema
    from mech_music.tasks.protocol import Figure
    from mech_music.tracking.curves import Curves


class Interchange:
    """The main job: every pair × intervention × prompt of the config, with its controls."""

    name: ClassVar[str] = INTERCHANGE.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = INTERCHANGE

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Whoever hears the concepts and what should be kept beside them, and whoever an extra metric needs."""
        heard = [concept.heard_by for pair in run.pairs for concept in pair]
        kept = [kept.heard_by for pair in run.pairs if (kept := kept_category(run.study, *pair))]
        asked = [name for metric in run.metrics for name in load_metric(metric).listeners]
        return tuple(dict.fromkeys([*heard, *kept, *asked]))

    def plan(self, run: Settings) -> list[Row]:
        """Unedited clips first: their passes are the concept means' own."""
        planned = list(trials(run))
        wanted = [row for pair in run.pairs for row in _wanted(run, *pair)]
        clips = [trial.baseline for trial in planned] + wanted + [trial.row for trial in planned]
        return list(dict.fromkeys(clips))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """Measure every trial. A failed clip keeps its line, with ``failed`` set and no metrics."""
        parts = []
        extra = [load_metric(name) for name in run.metrics]
        roles = [load_control(name).role for name in run.controls]
        schema = INTERCHANGE.extended(roles, [one.metric for one in extra])
        for _, group in groupby(trials(run), key=lambda trial: (trial.original.name, trial.desired.name)):
            own = list(group)
            parts.append(pd.DataFrame(_described(run, own, answers)).join(_measured(run, own, answers, extra)))
        return schema.attach(pd.concat(parts, ignore_index=True).loc[:, list(schema.names)])

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """Those of the strongest, of the median and of the weakest effects."""
        return chosen_clips(table, run.audio.strongest, run.audio.weakest, run.audio.median)

    @staticmethod
    def figures() -> Sequence[Figure]:
        """By layer, by component, by strength; over many pairs; and as the paper has them."""
        from mech_music.tasks.interchange import figures, pooled, published

        return (
            figures.layer_curves,
            figures.heatmap,
            figures.head_heatmap,
            figures.tradeoff,
            figures.dose_response,
            pooled.pooled_curves,
            pooled.pooled_tradeoff,
            published.component_curves,
            published.size_curves,
            published.depth_tradeoff,
            published.kind_bars,
        )

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """Every effect beside its controls."""
        from mech_music.tasks.interchange.terminal import effects_table

        return effects_table(summary, width)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.interchange.page import page

        return page()

    @staticmethod
    def curves(summary: pd.DataFrame) -> Curves:
        """What is logged to W&B."""
        from mech_music.tasks.interchange.panels import curves

        return curves(summary)

    @staticmethod
    def panels(schema: Schema) -> tuple[Section, ...]:
        """What W&B shows of it."""
        from mech_music.tasks.interchange.panels import panels

        return panels(schema)


# -- scoring -----------------------------------------------------------------------------------------


def _wanted(run: Settings, original: Concept, desired: Concept) -> list[Row]:
    """Unedited clips of the desired concept, if some metric compares the edited ones with them."""
    if not any(load_metric(name).desired for name in run.metrics):
        return []
    return [Row(prompt.text, run.seed) for prompt in run.evaluated(desired, original)]


def _described(run: Settings, trials: Sequence[Trial], answers: Answers) -> list[dict[str, object]]:
    """The axes and the clip of each line."""
    common = {
        "task": INTERCHANGE.task,
        "model": run.model.name,
        "classifier": run.classifier.name,
        "strength": float(run.strength),
        "frames": run.frames,
        "half": run.half.value,
        "history": run.history.value,
        "design": run.told_design,
        "seeds": run.design.seeds,
        "duration": float(run.duration),
        "seed": run.seed,
        "prompts": run.prompts,
        "prompt_set": run.study.name,
    }
    return [
        {
            **common,
            "technique": trial.technique,
            "role": trial.role,
            "component": run.component.value if trial.layer else "",
            "layer": trial.layer,
            "head": trial.head,
            "original": trial.original.name,
            "desired": trial.desired.name,
            "index": trial.index,
            "repeat": trial.repeat,
            "prompt": trial.prompt.text,
            "row": answers.key(trial.row),
            "baseline": answers.key(trial.baseline),
        }
        for trial in trials
    ]


def _measured(run: Settings, trials: Sequence[Trial], answers: Answers, extra: Sequence[ExtraMetric]) -> pd.DataFrame:
    """The metrics of the trials of one pair; NaN where either clip failed."""
    original, desired = trials[0].original, trials[0].desired
    names = dict.fromkeys(name for one in extra for name in one.listeners)
    kept = kept_category(run.study, original, desired)
    heard_by = {original.heard_by, *([kept.heard_by] if kept else []), *names}
    read = {
        name: tuple(_stacked(name, rows, answers) for rows in ([t.baseline for t in trials], [t.row for t in trials]))
        for name in heard_by
    }
    before, after = (reading["logits"] for reading in read[original.heard_by])
    failed = ~(np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1))
    columns = {
        name: np.full(len(trials), np.nan) for name in (*INTERCHANGE.metrics, *(one.metric.name for one in extra))
    }
    good = np.flatnonzero(~failed).tolist()
    if good:
        measured = _metrics(run, original, desired, before[good], after[good])
        if kept is not None:
            prompts = [trials[i].prompt for i in good]
            for name, reading in zip(("kept_before", "kept"), read[kept.heard_by], strict=True):
                measured[name] = kept_words(kept, prompts, reading["logits"][good])
        for name, values in measured.items():
            columns[name][good] = values
        # What an edit costs is told of clips that share their noise: another seed would add a cost of its own.
        columns["precision"][[t.row.edits != () and t.row.seed != t.baseline.seed for t in trials]] = np.nan
    columns["reliability"] = _reliability(run, trials, answers)
    columns["reliability"][failed] = np.nan
    wanted_rows = _wanted(run, original, desired)
    wanted = {name: _stacked(name, wanted_rows, answers) for name in names if wanted_rows}
    for _, places in groupby(good, key=lambda i: (trials[i].role, trials[i].layer, trials[i].head)):
        own = list(places)
        readings = {name: (_taken(read[name][0], own), _taken(read[name][1], own)) for name in names}
        heard = Heard(before[own], after[own], original, desired, [trials[i].prompt for i in own], readings, wanted)
        for one in extra:
            columns[one.metric.name][own] = one.measure(heard)
    return pd.DataFrame({**columns, "failed": failed})


def _reliability(run: Settings, trials: Sequence[Trial], answers: Answers) -> Float64[np.ndarray, " trial"]:
    """That of the mean shift at each effect's site; NaN for controls."""
    means = run.means(trials[0].original, trials[0].desired)
    recorded = {term.source for one in trials for edit in one.row.edits for term in getattr(edit, "shift", ())}
    sites = {(label, head): (layers, heads) for label, layers in run.interventions for head, heads in run.head_sets}
    found = {}
    for site, (layers, heads) in sites.items():
        hooks = [Hook(layer, run.point).name for layer in layers]
        found[site] = means.reliability(answers.mean, recorded, hooks, run.half, (heads, run.model.heads), run.steps)
    effect = INTERCHANGE.roles[0]
    return np.array([found[one.layer, one.head] if one.role == effect else np.nan for one in trials])


def _stacked(listener: str, rows: Iterable[Row], answers: Answers) -> Reading:
    """What a listener reads of clips, an array ``[clip, …]`` by name."""
    found = [answers.reading(row, listener) for row in rows]
    return {name: np.stack([reading[name] for reading in found]) for name in found[0]}


def _taken(reading: Reading, clips: Sequence[int]) -> Reading:
    return {name: values[clips] for name, values in reading.items()}


def _metrics(
    run: Settings, original: Concept, desired: Concept, before: np.ndarray, after: np.ndarray
) -> dict[str, np.ndarray]:
    first, second = original.labels[0], desired.labels[0]
    effect = metrics.effectiveness(before, after, first, second)
    measured = {
        "effectiveness": effect.total,
        "effectiveness_original": effect.original,
        "effectiveness_desired": effect.desired,
        "precision": metrics.precision(before, after),
        "ideal_precision": metrics.ideal_precision(before, first, second),
        "flipped": metrics.flipped(after, second, rivals(run.study, desired)),
        "flipped_pair": metrics.flipped_pair(after, first, second),
    }
    for when, scores in (("_before", before), ("", after)):
        for name, concept in (("original", original), ("desired", desired)):
            measured[f"ndcg_{name}{when}"] = metrics.ndcg(scores, concept.labels)
            measured[f"p_{name}{when}"] = metrics.probability(scores, concept.labels[0])
    return measured
