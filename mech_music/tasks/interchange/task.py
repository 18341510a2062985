"""Interchange interventions: put one concept's mean activations in the place of another's.

Vélez Vásquez, Pouw, Burgoyne, Zuidema, "Exploring the inner mechanisms of large generative music
models" (ISMIR 2024), section 3: generate from prompts of the *original* concept while a hook's output
is replaced by, or adjusted towards, its mean over prompts of the *desired* concept; ask the classifier
what became of either. Each table carries its controls.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from mech_music.config.schema import Direction, TechniqueConfig, load_technique
from mech_music.edits.row import Edit, Mean, Row, Term
from mech_music.metrics import measures as metrics
from mech_music.models.hooks import Hook
from mech_music.prompts.concepts import (
    CONCEPTS,
    GENRE_FILLERS,
    INSTRUMENT_FILLERS,
    Category,
    Concept,
    Prompt,
    another_concept,
    concept_prompts,
    label_of,
    prompts_of,
)
from mech_music.results.audio import Choice
from mech_music.tasks.interchange.clips import chosen_clips
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.declared import ExtraMetric, Heard, load_control, load_metric
from mech_music.tasks.interchange.settings import InterchangeSettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.dashboard.panels import Section
    from mech_music.engine.engine import Answers
    from mech_music.listeners.protocol import Reading
    from mech_music.report.view import View
    from mech_music.results.columns import Schema
    from mech_music.tasks.protocol import Figure
    from mech_music.tracking.curves import Curves

log = logging.getLogger(__name__)
_NOISE_SEED = 1_000_003  # the noise floor's clips: the same prompts with another seed


@dataclass(frozen=True)
class Trial:
    """One line of the table to be: an edited clip, and the same prompt and seed without the edit."""

    role: str
    technique: str
    layer: str
    original: Concept
    desired: Concept
    index: int
    prompt: Prompt
    row: Row
    baseline: Row


class Interchange:
    """The main job: every pair × intervention × prompt of the config, with its controls."""

    name: ClassVar[str] = INTERCHANGE.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = INTERCHANGE

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """The classifier, and whoever an extra metric needs."""
        asked = [name for metric in run.metrics for name in load_metric(metric).listeners]
        return tuple(dict.fromkeys(["classifier", *asked]))

    def plan(self, run: Settings) -> list[Row]:
        """Unedited clips first: their passes are the concept means' own."""
        trials = list(_trials(run))
        return list(dict.fromkeys([trial.baseline for trial in trials] + [trial.row for trial in trials]))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """Measure every trial. A failed clip keeps its line, with ``failed`` set and no metrics."""
        parts = []
        extra = [load_metric(name) for name in run.metrics]
        roles = [load_control(name).role for name in run.controls]
        schema = INTERCHANGE.extended(roles, [one.metric for one in extra])
        for _, group in groupby(_trials(run), key=lambda trial: (trial.original.name, trial.desired.name)):
            trials = list(group)
            parts.append(pd.DataFrame(_described(run, trials, answers)).join(_measured(trials, answers, extra)))
        return schema.attach(pd.concat(parts, ignore_index=True).loc[:, list(schema.names)])

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """Those of the strongest, of the median and of the weakest effects."""
        return chosen_clips(table, run.audio.strongest, run.audio.weakest, run.audio.median)

    @staticmethod
    def figures() -> Sequence[Figure]:
        """By layer, by component, by strength; and over many pairs."""
        from mech_music.tasks.interchange import figures, pooled

        return (
            figures.layer_curves,
            figures.heatmap,
            figures.tradeoff,
            figures.dose_response,
            pooled.pooled_curves,
            pooled.pooled_tradeoff,
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


# -- planning ----------------------------------------------------------------------------------------


def _trials(run: Settings) -> Iterator[Trial]:
    """All trials, pair by pair: first the controls that have no layer, then each layer with its own."""
    controls = {name: load_control(name) for name in run.controls}
    edited = [(INTERCHANGE.roles[0], run.technique, "desired")]
    edited += [
        (role, load_technique(control.technique, run.strength) if control.technique else run.technique, control.concept)
        for role, control in controls.items()
        if control.technique is not None
    ]
    same = {role for role, technique, concept in edited[1:] if _is_the_same(run.technique, technique, concept)}
    for role in sorted(same):
        log.warning("control %s is technique %s itself: left out, nothing can be above it", role, run.technique.name)
    edited = [one for one in edited if one[0] not in same]
    steps = run.steps
    for original, desired in run.pairs:
        prompts = list(enumerate(concept_prompts(original, run.prompts)))
        for role in (role for role, control in controls.items() if control.technique is None):
            for index, prompt in prompts:
                baseline = Row(prompt.text, run.seed)
                other = Row(prompt.text, run.seed + _NOISE_SEED)
                yield Trial(role, "none", "", original, desired, index, prompt, other, baseline)
        for label, layers in run.layers:
            for role, technique, concept in edited:
                towards = desired if concept == "desired" else another_concept(original, desired)
                for index, prompt in prompts:
                    baseline = Row(prompt.text, run.seed)
                    edits = tuple(_edit(run, technique, layer, steps, original, towards, index) for layer in layers)
                    row = replace(baseline, edits=edits)
                    yield Trial(role, technique.name, label, original, desired, index, prompt, row, baseline)


def _is_the_same(technique: TechniqueConfig, other: TechniqueConfig, concept: str) -> bool:
    """Whether a control's edit is the technique's own."""
    weights = [{name: weight for name, weight in one.shift.items() if weight} for one in (technique, other)]
    moved = concept != "desired" and "desired" in weights[1]
    return (
        not moved
        and weights[0] == weights[1]
        and (technique.scale, technique.direction) == (other.scale, other.direction)
    )


def _edit(
    run: Settings,
    technique: TechniqueConfig,
    layer: int,
    steps: tuple[int, int] | None,
    original: Concept,
    desired: Concept,
    index: int,
) -> Edit:
    """The technique's affine map at one layer; a random direction is drawn anew for every prompt."""
    concepts = {"original": original, "desired": desired}
    shift = tuple(
        Term(float(weight), Mean(prompts_of(concepts[name], run.prompts), run.seed, run.history))
        for name, weight in sorted(technique.shift.items())
        if weight
    )
    return Edit(
        hook=Hook(layer, run.component.point).name,
        scale=float(technique.scale),
        shift=shift,
        frames=steps,
        half=run.half,
        random=index if technique.direction is Direction.random else None,
    )


# -- scoring -----------------------------------------------------------------------------------------


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
        "duration": float(run.duration),
        "seed": run.seed,
        "prompts": run.prompts,
    }
    return [
        {
            **common,
            "technique": trial.technique,
            "role": trial.role,
            "component": run.component.value if trial.layer else "",
            "layer": trial.layer,
            "original": trial.original.name,
            "desired": trial.desired.name,
            "index": trial.index,
            "prompt": trial.prompt.text,
            "row": answers.key(trial.row),
            "baseline": answers.key(trial.baseline),
        }
        for trial in trials
    ]


def _measured(trials: Sequence[Trial], answers: Answers, extra: Sequence[ExtraMetric]) -> pd.DataFrame:
    """The metrics of the trials of one pair; NaN where either clip failed."""
    before = np.stack([answers.reading(trial.baseline, "classifier")["logits"] for trial in trials])
    after = np.stack([answers.reading(trial.row, "classifier")["logits"] for trial in trials])
    failed = ~(np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1))
    names = [*INTERCHANGE.metrics, *(one.metric.name for one in extra)]
    columns = {name: np.full(len(trials), np.nan) for name in names}
    good = np.flatnonzero(~failed).tolist()
    if good:
        pair, prompts = trials[0], [trials[i].prompt for i in good]
        measured = _metrics(pair, prompts, before[good], after[good])
        others = dict.fromkeys(name for one in extra for name in one.listeners)
        readings = {name: _readings(name, [trials[i] for i in good], answers) for name in others}
        heard = Heard(before[good], after[good], pair.original, pair.desired, prompts, readings)
        for name, values in (measured | {one.metric.name: one.measure(heard) for one in extra}).items():
            columns[name][good] = values
    return pd.DataFrame({**columns, "failed": failed})


def _readings(listener: str, trials: Sequence[Trial], answers: Answers) -> tuple[Reading, Reading]:
    """What a listener reads of the clips without and with the edit."""

    def stacked(rows: Iterable[Row]) -> Reading:
        found = [answers.reading(row, listener) for row in rows]
        return {name: np.stack([reading[name] for reading in found]) for name in found[0]}

    return stacked(trial.baseline for trial in trials), stacked(trial.row for trial in trials)


def _metrics(pair: Trial, prompts: Sequence[Prompt], before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    original, desired = pair.original.labels[0], pair.desired.labels[0]
    effect = metrics.effectiveness(before, after, original, desired)
    measured = {
        "effectiveness": effect.total,
        "effectiveness_original": effect.original,
        "effectiveness_desired": effect.desired,
        "precision": metrics.precision(before, after),
        "ideal_precision": metrics.ideal_precision(before, original, desired),
        "flipped": metrics.flipped(after, original, desired),
        "kept": _kept(pair, prompts, after),
        "kept_before": _kept(pair, prompts, before),
    }
    for when, scores in (("_before", before), ("", after)):
        for name, concept in (("original", pair.original), ("desired", pair.desired)):
            measured[f"ndcg_{name}{when}"] = metrics.ndcg(scores, concept.labels)
            measured[f"p_{name}{when}"] = metrics.probability(scores, concept.labels[0])
    return measured


def _kept(pair: Trial, prompts: Sequence[Prompt], scores: np.ndarray) -> np.ndarray:
    """Whether the prompt's word of the category that is *not* edited is heard: the genre, when instruments are swapped.

    The category's most probable word must be the prompt's own or one that is relevant to it (EDM is electronic).
    A pair across categories edits both, so there is nothing that should stay: NaN.
    """
    if pair.original.category is not pair.desired.category:
        return np.full(len(prompts), np.nan)
    other = Category.genre if pair.original.category is Category.instrument else Category.instrument
    fillers = GENRE_FILLERS if other is Category.genre else INSTRUMENT_FILLERS
    words = [*fillers, *(concept.text for concept in CONCEPTS.values() if concept.category is other)]
    group = list(dict.fromkeys(label_of(word)[0] for word in words))
    heard = metrics.group_argmax(scores, group)
    own = [label_of(getattr(prompt, other.value)) for prompt in prompts]
    return np.array([label in labels for label, labels in zip(heard, own, strict=True)], dtype=float)
