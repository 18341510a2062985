"""Interchange interventions: put one concept's mean activations in the place of another's.

Vélez Vásquez, Pouw, Burgoyne, Zuidema, "Exploring the inner mechanisms of large generative music
models" (ISMIR 2024), section 4: generate from prompts of the *original* concept while a hook's output
is replaced by, or adjusted towards, its mean over prompts of the *desired* concept; ask the classifier
what became of either. Each table carries its controls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mech_music.config.axes import n_steps, parse_frames, parse_layers
from mech_music.config.schema import Direction, RunConfig, TechniqueConfig, load_technique
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
    concept_prompts,
    label_of,
    prompts_of,
    resolve_pairs,
)
from mech_music.results.audio import Choice, strongest_and_weakest
from mech_music.results.columns import INTERCHANGE, METRICS, Role

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers

_NOISE_SEED = 1_000_003  # the noise floor's clips: the same prompts with another seed


@dataclass(frozen=True)
class Trial:
    """One line of the table to be: an edited clip, and the same prompt and seed without the edit."""

    role: Role
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

    def plan(self, run: RunConfig) -> list[Row]:
        """Unedited clips first: their passes are the concept means' own."""
        trials = list(_trials(run))
        return list(dict.fromkeys([trial.baseline for trial in trials] + [trial.row for trial in trials]))

    def score(self, run: RunConfig, answers: Answers) -> pd.DataFrame:
        """Measure every trial. A failed clip keeps its line, with ``failed`` set and no metrics."""
        parts = []
        for _, group in groupby(_trials(run), key=lambda trial: (trial.original.name, trial.desired.name)):
            trials = list(group)
            parts.append(pd.DataFrame(_described(run, trials, answers)).join(_measured(trials, answers)))
        return pd.concat(parts, ignore_index=True).loc[:, list(INTERCHANGE.names)]

    def listeners(self, run: RunConfig) -> tuple[str, ...]:
        """The classifier, of every clip."""
        return ("classifier",)

    def choose_clips(self, run: RunConfig, table: pd.DataFrame) -> list[Choice]:
        """Those of the strongest and of the weakest effects."""
        return strongest_and_weakest(table, run.audio.strongest, run.audio.weakest)


# -- planning ----------------------------------------------------------------------------------------


def _trials(run: RunConfig) -> Iterator[Trial]:
    """All trials, pair by pair: first the controls that have no layer, then each layer with its own."""
    edited = [(Role.technique, run.technique)]
    edited += [(Role(name), load_technique(name, run.strength)) for name in run.controls if name != Role.noise]
    for original, desired in resolve_pairs(run.pair):
        prompts = list(enumerate(concept_prompts(original, run.prompts)))
        if Role.noise in run.controls:
            for index, prompt in prompts:
                baseline = Row(prompt.text, run.seed)
                other = Row(prompt.text, run.seed + _NOISE_SEED)
                yield Trial(Role.noise, "none", "", original, desired, index, prompt, other, baseline)
        for label, layers in parse_layers(run.layer, run.model.layers):
            for role, technique in edited:
                for index, prompt in prompts:
                    baseline = Row(prompt.text, run.seed)
                    edits = tuple(_edit(run, technique, layer, original, desired, index) for layer in layers)
                    row = replace(baseline, edits=edits)
                    yield Trial(role, technique.name, label, original, desired, index, prompt, row, baseline)


def _edit(
    run: RunConfig, technique: TechniqueConfig, layer: int, original: Concept, desired: Concept, index: int
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
        frames=parse_frames(run.frames, n_steps(run), run.model.frame_rate),
        half=run.half,
        random=index if technique.direction is Direction.random else None,
    )


# -- scoring -----------------------------------------------------------------------------------------


def _described(run: RunConfig, trials: Sequence[Trial], answers: Answers) -> list[dict[str, object]]:
    """The axes and the clip of each line."""
    common = {
        "task": "interchange",
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
            "role": trial.role.value,
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


def _measured(trials: Sequence[Trial], answers: Answers) -> pd.DataFrame:
    """The metrics of the trials of one pair; NaN where either clip failed."""
    before = np.stack([answers.reading(trial.baseline, "classifier")["logits"] for trial in trials])
    after = np.stack([answers.reading(trial.row, "classifier")["logits"] for trial in trials])
    failed = ~(np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1))
    columns = {name: np.full(len(trials), np.nan) for name in METRICS}
    good = np.flatnonzero(~failed).tolist()
    if good:
        measured = _metrics(trials[0], [trials[i].prompt for i in good], before[good], after[good])
        for name, values in measured.items():
            columns[name][good] = values
    return pd.DataFrame({**columns, "failed": failed})


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
