"""The page of DecoderLens: what each layer plays of each concept, beside what it plays anyway."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mech_music.config.schema import LensConfig
from mech_music.edits.row import Reading
from mech_music.report.found import Found
from mech_music.report.view import View, beside_roles
from mech_music.report.words import (
    Paragraph,
    each,
    example,
    models,
    prompt_counts,
    sampled,
    shortened,
    statistics,
    told,
    where_read,
)
from mech_music.results.canvas import LENS_COLOURS, LENS_WORDS, POINT_WORDS, READING_WORDS
from mech_music.tasks.decoder_lens.columns import DECODER_LENS
from mech_music.tasks.decoder_lens.settings import DecoderLensSettings as Settings

_READINGS = {
    Reading.free: "free: the lens is fed the tokens that were sampled from it, as in Vélez Vásquez et al. (2024).",
    Reading.forced: "forced: the lens reads along the tokens of the full model's clip, and never hears itself.",
}


def title(found: Found) -> str:
    """The concepts and the models."""
    concepts = list(dict.fromkeys(found.effects["concept"]))
    what = concepts[0] if len(concepts) == 1 else f"{len(concepts)} concepts"
    return f"What layers play of {what}, model {found.models}"


def question(found: Found) -> str:
    """What the run asks."""
    return (
        "A prompt names a concept. If the model ended after a given layer, and its residual stream there went straight "
        "to the final norm and the heads, would the concept be heard, and from which layer on?"
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, lens, reading, clips, layers, concepts, prompts, control, statistics."""
    return told([*_from_configs(found.runs), *_from_table(found)])


def _lens(run: Settings) -> str:
    if run.lens.name == "decoder":
        return "DecoderLens: the residual stream goes through the final norm and the heads as it is."
    return trained_lens(run.lens)


def trained_lens(lens: LensConfig) -> str:
    """What a tuned lens is, and how it was trained."""
    trained = (
        f"read from {lens.path}"
        if lens.path
        else f"trained on {lens.clips} of the model's own clips for {lens.epochs} epochs (seed {lens.seed})"
    )
    return f"Tuned lens: an affine map to the final stream comes before the final norm and the heads, {trained}."


def _from_configs(runs: Sequence[Settings]) -> list[Paragraph]:
    if not runs:
        return []
    return [
        models(runs),
        ("Lens", each(_lens(run) for run in runs)),
        ("Reading", each(_READINGS[run.reading] for run in runs)),
        ("Clips", each(f"{sampled(run)} A layer's clip and the full model's share prompt and noise." for run in runs)),
    ]


def _from_table(found: Found) -> list[Paragraph]:
    effects = found.effects
    concepts = list(dict.fromkeys(effects["concept"]))
    control = "other: the same layer's clips of prompts that name another concept of the category, searched for the "
    return [
        ("Layers", [f"{where_read(found)}."]),
        ("Concepts", [f"{shortened(concepts)}."] if concepts else []),
        ("Prompts", [f"{prompt_counts(found)} for each concept.", *[one for c in concepts[:1] for one in example(c)]]),
        ("Control", [f"{control}same labels. What a layer plays anyway, whatever was asked of it."]),
        ("Statistics", statistics(found, "clips read from a layer")),
    ]


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    return beside_roles(summary, "ndcg")


VIEW = View(
    kind="what the layers of MusicGen play",
    within=("layer", "concept"),
    selectable=("model", "lens", "reading", "component", "duration", "seed", "prompts", "classifier", "task"),
    rank="ndcg",
    of_controls=("ndcg", "p", "heard", "agreement"),
    told=("ndcg", "ndcg_full", "p", "agreement"),
    heard=("first", "strongest"),
    labels={"concept": "named by the prompt"},
    beside=_beside,
    title=title,
    question=question,
    methods=methods,
    words={
        "lenses": LENS_WORDS,
        "lens_colours": LENS_COLOURS,
        "readings": READING_WORDS,
        "points": POINT_WORDS,
        "controls": {control.name: control.label for control in DECODER_LENS.controls},
    },
    sections={"glance": "At a glance", "cells": "Heat map and clips", "curves": "By layer"},
    scripts=("tasks/decoder_lens/page.js",),
)
