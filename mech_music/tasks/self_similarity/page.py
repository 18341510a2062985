"""The page of self-similarity: how alike any two layers are, beside two layers half a clip apart."""

from __future__ import annotations

from importlib.resources import files
from typing import cast

import pandas as pd

from mech_music.report.found import Found
from mech_music.report.view import Chart, Heat, Measure, Paragraph, View, beside_roles
from mech_music.report.words import each, prompts, sampled, shortened
from mech_music.report.words import methods as shared_methods
from mech_music.results.canvas import POINT_WORDS
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
    """Headings with sentences: model, clips, reading, concepts, prompts, control, layers, statistics."""
    effects = found.effects
    points = [POINT_WORDS[name] for name in dict.fromkeys(effects["component"])]
    own = [
        ("Clips", each(sampled(run) for run in found.runs)),
        ("Reading", [f"The stream is read {shortened(points)}, guidance half: {shortened(effects['half'])}."]),
        ("Concepts", [f"{shortened(effects['concept'])}.", *_pooled(found)]),
        prompts(found),
        ("Control", [_CONTROL]),
    ]
    return shared_methods(found, "comparisons of two layers in a clip", own)


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


def _last(effects: pd.DataFrame) -> pd.Series:
    """The cells that compare a layer with the last one."""
    return effects["other"] == max(effects["other"], key=int)


def _glance(effects: pd.DataFrame) -> pd.Series:
    """The last layer and the one before it."""
    last = _last(effects)
    before = max((layer for layer in set(effects["layer"]) - set(effects[last]["other"])), key=int, default="")
    return last & (effects["layer"] == before) if before else last


def page() -> View:
    """Any two layers beside each other, and every layer beside the last."""
    names = SELF_SIMILARITY.metrics
    return View(
        kind="the residual stream of MusicGen",
        title=title,
        question=question,
        methods=methods,
        beside=_beside,
        site="layers {=layer} and {=other}",
        heading="Layers {=layer} and {=other}: {concept}",
        hover="{concept}",
        effect="the two layers",
        things="comparisons of two layers",
        shown=names,
        measures={
            **{
                name: Measure(palette="viridis_r", limits=(0.0, None)) for name in ("distance", "distance_of_means")
            },
            **{name: Measure(palette="viridis", limits=(None, 1.0)) for name in ("cosine", "cka")},
        },
        of_controls=names,
        selectable=("model", "concept", "component", "half"),
        words={"component": POINT_WORDS},
        plain=("concept",),
        heat=Heat(across="other", down="layer", mirrored=True),
        heat_note="The control moves the later of the two layers, so it has one half only.",
        glance=_glance,
        glance_note="The last layer and the one before it. Control: the last layer half a clip later.",
        charts=(
            Chart(
                "maps", "The measures beside their control", "All measures", names, kind="maps",
                note="Bright is alike in all maps. A measure and its control (the second layer half a clip later) have "
                "one scale: what is as bright in the control does not depend on what is being played.",
            ),
            Chart("curves", "Likeness to the last layer", "To the last layer", names, keep=_last),
        ),
        script=files("mech_music.tasks.self_similarity").joinpath("page.js").read_text(encoding="utf-8"),
    )  # fmt: skip
