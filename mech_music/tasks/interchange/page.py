"""The page of interchanges: effects at each site beside their controls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from mech_music.config.paths import options
from mech_music.config.schema import Direction, TechniqueConfig, load_technique
from mech_music.edits.row import Half, History
from mech_music.report.found import Found
from mech_music.report.view import View
from mech_music.report.words import (
    Paragraph,
    each,
    example,
    layers_in_words,
    listed,
    models,
    prompt_counts,
    sampled,
    shortened,
    statistics,
    told,
)
from mech_music.results.canvas import COMPONENT_WORDS
from mech_music.results.columns import layer_order
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.controls import beside_controls
from mech_music.tasks.interchange.declared import load_control
from mech_music.tasks.interchange.settings import InterchangeSettings as Settings

_HALVES = {
    Half.both: "Both halves of classifier-free guidance are edited.",
    Half.cond: "Only the conditional half of classifier-free guidance is edited.",
    Half.uncond: "Only the unconditional half of classifier-free guidance is edited.",
}
_HISTORIES = {
    History.own: "recorded while the model generates each of the concept's prompts (history=own)",
    History.shared: "recorded along the tokens of the concept's first prompt (history=shared)",
}


def title(found: Found) -> str:
    """The pairs and the models."""
    pairs = found.pairs
    return f"{' → '.join(pairs[0]) if len(pairs) == 1 else f'{len(pairs)} pairs of concepts'}, model {found.models}"


def question(found: Found) -> str:
    """What the run asks, in one or two sentences."""
    effects, pairs = found.effects, found.pairs
    edited = listed([words for name, words in COMPONENT_WORDS.items() if name in set(effects["component"])], "or")
    how = listed(list(dict.fromkeys(effects["technique"])), "or")
    if len(pairs) == 1:
        ((original, desired),) = pairs
        return (
            f"A prompt asks for {original}, and inside the model the {edited} is edited ({how}). "
            f"Is {desired} heard instead, and does everything else stay as it was?"
        )
    return (
        f"A prompt asks for one concept, and inside the model the {edited} is edited ({how}). "
        f"Is another concept heard instead, and does everything else stay as it was? Asked of {len(pairs)} pairs."
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, edit, place, pairs, prompts, listener, controls, statistics."""
    return told([*_from_configs(found.runs), *_from_table(found)])


# -- what the configs say --------------------------------------------------------------------------------


def _from_configs(runs: Sequence[Settings]) -> list[Paragraph]:
    if not runs:
        return []
    components = sorted({run.component for run in runs}, key=list(COMPONENT_WORDS).index)
    hooks = [f"{COMPONENT_WORDS[name.value]}: blocks.{{layer}}.hook_{name.point}" for name in components]
    kinds = [run.technique for run in runs]
    uses_means = any(kind.shift for kind in kinds)
    means = [
        "mean(·) is the concept's mean activation at the same hook, for each autoregressive step and guidance half, "
        f"{words}."
        for words in each(_HISTORIES[run.history] for run in runs)
    ]
    return [
        models(runs),
        ("Edit", [*each(map(_edit, runs)), *(means if uses_means else [])]),
        ("Place", [*hooks, *each(_frames(run) for run in runs), *each(_HALVES[run.half] for run in runs)]),
        ("Clips", each(_clips(run) for run in runs)),
        ("Controls", _controls(runs)),
    ]


def _edit(run: Settings) -> str:
    name = run.technique.name
    doses = [formula(load_technique(name, strength)) for strength in (1.0, 2.0)] if name in options("technique") else []
    dose = f" at strength {run.strength:g}" if len(set(doses)) > 1 else ""
    return f"{name}{dose}: {formula(run.technique)}"


def formula(technique: TechniqueConfig) -> str:
    """``out′ = out + 2 · mean(desired) − 2 · mean(original)``."""
    terms = [(float(technique.scale), "out")]
    shift = [(float(weight), f"mean({concept})") for concept, weight in technique.shift.items()]
    text = _sum(terms + ([] if technique.direction is Direction.random else shift))
    if technique.direction is Direction.random:
        text = f"{text} + a random direction as long as {_sum(shift)}"
    return f"out′ = {text}"


def _sum(terms: Iterable[tuple[float, str]]) -> str:
    text = ""
    for weight, name in terms:
        if weight:
            sign = "− " if weight < 0 else "+ " if text else ""
            size = "" if abs(weight) == 1 else f"{abs(weight):g} · "
            text += f" {sign}{size}{name}"
    return text.strip() or "0"


def _frames(run: Settings) -> str:
    return "Every autoregressive step is edited." if run.frames == "all" else f"Edited steps: {run.frames}."


def _clips(run: Settings) -> str:
    return f"{sampled(run)} A clip and its edited twin share prompt and sampling noise."


def _controls(runs: Sequence[Settings]) -> list[str]:
    wanted = dict.fromkeys(name for run in runs for name in run.controls)
    told = [_control(name) for name in sorted(wanted, key=_place)]
    return told or ["No controls were run: an effect cannot be told from damage or from chance."]


def _place(control: str) -> int:
    return INTERCHANGE.roles.index(control) if control in INTERCHANGE.roles else len(INTERCHANGE.roles)


def _control(name: str) -> str:
    control = load_control(name)
    edit = "" if control.technique is None else f"{formula(load_technique(control.technique))}. "
    return f"{name}: {edit}{control.role.meaning}"


# -- what the table says ---------------------------------------------------------------------------------


def _from_table(found: Found) -> list[Paragraph]:
    pairs, layers = found.pairs, sorted(set(found.effects["layer"]), key=layer_order)
    originals = dict.fromkeys(original for original, _ in pairs[:2])
    examples = [sentence for original in originals for sentence in example(original)]
    return [
        ("Layers", [f"{layers_in_words(layers)}."] if layers else []),
        ("Pairs", [shortened([f"{original} → {desired}" for original, desired in pairs]) + "."] if pairs else []),
        ("Prompts", [f"{prompt_counts(found)} for each concept, the same for edit and controls.", *examples]),
        ("Statistics", statistics(found, "edited clips")),
    ]


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    effects = beside_controls(summary)
    return effects.assign(pair=effects["original"] + " → " + effects["desired"])


VIEW = View(
    kind="interventions inside MusicGen",
    within=("layer", "component"),
    selectable=(
        "model", "pair", "technique", "strength", "half", "frames", "history", "duration", "seed", "prompts",
        "classifier", "task",
    ),
    more=("pair",),
    rank="effectiveness",
    of_controls=("effectiveness", "precision", "kept"),
    told=("effectiveness", "precision"),
    heard=("strongest", "weakest"),
    labels={"desired": "desired", "original": "original"},
    beside=_beside,
    title=title,
    question=question,
    methods=methods,
    words={"components": COMPONENT_WORDS, "controls": {one.name: one.label for one in INTERCHANGE.controls}},
    sections={
        "glance": "At a glance",
        "cells": "Heat map and clips",
        "curves": "By layer",
        "tradeoff": "Effect and precision",
        "dose": "Dose and response",
    },
    scripts=("tasks/interchange/page.js", "tasks/interchange/charts.js"),
)  # fmt: skip
