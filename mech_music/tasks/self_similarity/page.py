"""The page of self-similarity: how alike any two layers are, beside two layers half a clip apart."""

from __future__ import annotations

from typing import cast

import pandas as pd

from mech_music.report.found import Found
from mech_music.report.view import View, beside_roles
from mech_music.report.words import (
    Paragraph,
    each,
    models,
    prompt_counts,
    sampled,
    shortened,
    statistics,
    told,
    where_read,
)
from mech_music.results.canvas import LENS_COLOURS, POINT_WORDS
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY

_ALL = "all concepts"
_CONTROL = "moved: the second layer half a clip later. What two layers share whatever is played at the moment."


def title(found: Found) -> str:
    """The models."""
    return f"How alike layers are, model {found.models}"


def question(found: Found) -> str:
    """What the run asks."""
    return (
        "How much does the residual stream change from one layer to another, how near is each layer to the last, and "
        "how much of the likeness depends on what is being played?"
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, clips, layers, concepts, prompts, control, statistics."""
    runs, effects = found.runs, found.effects
    halves = shortened(list(dict.fromkeys(effects["half"])))
    configured = [models(runs, listening=False), ("Clips", each(sampled(run) for run in runs))] if runs else []
    return told(
        [
            *configured,
            ("Layers", [f"{where_read(found)}, guidance half: {halves}."]),
            ("Concepts", [f"{shortened(list(dict.fromkeys(effects['concept'])))}.", *_pooled(found)]),
            ("Prompts", [f"{prompt_counts(found)} for each concept."]),
            ("Control", [_CONTROL]),
            ("Statistics", statistics(found, "comparisons of two layers in a clip")),
        ]
    )


def _pooled(found: Found) -> list[str]:
    several = len(set(found.effects["concept"])) > 1
    return ["All concepts: their mean; its interval is the widest of theirs."] if several else []


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    """Lines of the single concepts, after those of all together, where there are several."""
    effects = beside_roles(summary)
    if len(set(effects["concept"])) < 2:
        return effects
    keys = [axis for axis in SELF_SIMILARITY.axes if axis not in ("role", "concept")]
    how = {name: _pooling(name) for name in effects.columns if name not in (*keys, "role", "concept")}
    pooled = effects.groupby(keys, sort=False, as_index=False).agg(how).assign(role=SELF_SIMILARITY.roles[0])
    return pd.concat([cast(pd.DataFrame, pooled).assign(concept=_ALL), effects], ignore_index=True)


def _pooling(column: str) -> str:
    """Means of means, the widest interval, the number of clips of a concept."""
    if column in ("level", "resamples", "verdict", "n"):
        return "min"
    if column == "failed":
        return "sum"
    return "min" if column.endswith("_low") else "max" if column.endswith("_high") else "mean"


VIEW = View(
    kind="the residual stream of MusicGen",
    within=("layer", "other"),
    selectable=("model", "concept", "component", "half", "duration", "seed", "prompts", "task"),
    rank="",
    of_controls=SELF_SIMILARITY.metrics,
    beside=_beside,
    title=title,
    question=question,
    methods=methods,
    words={
        "points": POINT_WORDS,
        "controls": {control.name: control.label for control in SELF_SIMILARITY.controls},
        "all": _ALL,
        "colour": LENS_COLOURS["decoder"],
    },
    sections={"glance": "At a glance", "cells": "Heat map", "maps": "All measures", "curves": "To the last layer"},
    scripts=("tasks/self_similarity/page.js",),
)
