"""The page of a task that reads layers: its figures, and of lenses a map of concept × layer with its clips."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.classifier import label_names
from mech_music.concepts import CONCEPTS
from mech_music.edits import Reading
from mech_music.errors import UserError
from mech_music.explain import explain
from mech_music.figures import canvas, draw_all
from mech_music.metrics import log_softmax
from mech_music.report.clips import sounds_of
from mech_music.report.found import Found
from mech_music.report.words import clip_words, each, model_words
from mech_music.schema import DECODER_LENS, layer_order
from mech_music.tables import schema_of

_SELECTORS = ("model", "lens", "reading", "component", "classifier", "duration", "seed", "prompts")
_TITLES = {
    "decoder_lens": "What layers play",
    "tuned_lens": "How near layers come to the model's end",
    "self_similarity": "How alike layers are",
}
_QUESTIONS = {
    "decoder_lens": "If the model ended after one of its layers, what would be heard? Is it what the prompt asks for?",
    "tuned_lens": "How much of what the model will say is there at each layer: read as it is, or translated first?",
    "self_similarity": "How far apart are the residual streams of any two layers, whatever is being played?",
}
_LENSES = {
    "decoder": "the stream goes through the model's own final norm and heads as it is.",
    "tuned": "an affine map, trained on the model's own clips, brings the stream near the final one first.",
}
_READINGS = {
    Reading.free: "free: the layer's own tokens are fed back; layers above it are not computed.",
    Reading.forced: "forced: read along the full model's tokens, with the same sampling noise.",
}
_CONTROLS = {
    "decoder_lens": "other: the same layers' clips of prompts without the concept, for the same labels.",
    "tuned_lens": "decoder is the lens without training; both are measured on prompts that were not trained on.",
    "self_similarity": "moved: the other layer half a clip later.",
}
_TOP = 5
_PROMPTS, _MOST = 2, 320  # prompts of a cell, clips of a page: it should open at once


def title(found: Found) -> str:
    """``What layers play, model tiny``."""
    models = ", ".join(dict.fromkeys(found.table["model"]))
    return f"{_TITLES[schema_of(found.table).task]}, model {models}"


def question(found: Found) -> str:
    """What the run asks, in one sentence."""
    return _QUESTIONS[schema_of(found.table).task]


def figures(found: Found) -> list[dict[str, str]]:
    """The summary's figures as SVG in ``data:`` URIs."""
    with tempfile.TemporaryDirectory() as place:
        paths = [path for path in draw_all(found.summary, Path(place)) if path.suffix == ".svg"]
        return [{"name": path.stem, "image": _uri(path.read_bytes())} for path in paths]


def _uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def methods(found: Found) -> list[tuple[str, list[str]]]:
    """Headings with sentences."""
    runs, schema = found.runs, schema_of(found.table)
    lens = [f"{run.lens.name}: {_LENSES[run.lens.name]}" for run in runs if schema.task != "self_similarity"]
    reading = [_READINGS[run.reading] for run in runs if schema.task == DECODER_LENS.task]
    point = [
        f"The residual stream {canvas.POINT_WORDS[run.component.value]} (component={run.component.value})."
        for run in runs
    ]
    level, resamples = (found.summary[name].tolist()[0] for name in ("level", "resamples"))
    parts = [
        ("Model", each(map(model_words, runs))),
        ("Lens", each(lens)),
        ("Place", each([*point, *reading])),
        ("Clips", each(map(clip_words, runs))),
        ("Control", [_CONTROLS[schema.task]]),
        (
            "Statistics",
            [f"Means over prompts with {100 * level:g} % bootstrap intervals over prompts ({resamples} resamples)."],
        ),
    ]
    return [part for part in parts if part[1]]


def measures(found: Found) -> list[tuple[str, str]]:
    """Each metric and what it means."""
    return [(f"{column.name}{f' ({column.unit})' if column.unit else ''}", column.meaning)
            for column in schema_of(found.table).metric_columns]  # fmt: skip


# -- the map -----------------------------------------------------------------------------------------------


def cells(found: Found) -> dict[str, Any]:
    """What the map of concept × layer shows, cell by cell. Empty for a task that has none."""
    if schema_of(found.table).task != DECODER_LENS.task:
        return {}
    lines = found.summary.to_dict("records")
    beside = {_place(line): line for line in lines if line["role"] == "other"}
    shown = [_cell(line, beside[_place(line)]) for line in lines if line["role"] == "lens"]
    return {
        "lines": shown,
        "selectors": [name for name in _SELECTORS if len({line[name] for line in shown}) > 1],
        "concepts": [name for name in CONCEPTS if name in {line["concept"] for line in shown}],
        "layers": sorted({line["layer"] for line in shown}, key=layer_order),
        "words": {"lens": canvas.LENS_WORDS, "reading": canvas.READING_WORDS, "component": canvas.POINT_WORDS},
        "level": lines[0]["level"],
    }


def _place(line: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(line[axis] for axis in DECODER_LENS.axes if axis != "role")


def _cell(line: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[str, Any]:
    names = [*_SELECTORS, "layer", "concept", "n", "failed"]
    for metric in ("ndcg", "ndcg_full", "heard", "agreement", "p"):
        names += [metric, f"{metric}_low", f"{metric}_high"]
    control = {f"other_{metric}{end}": other[f"{metric}{end}"] for metric in ("ndcg", "heard", "p") for end in
               ("", "_low", "_high")}  # fmt: skip
    found = {name: line[name] for name in names} | control
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in found.items()}


# -- clips -------------------------------------------------------------------------------------------------


def hear(found: Found, cells: Mapping[str, Any], room: int) -> tuple[dict[str, Any], dict[int, list[Any]], list[str]]:
    """Sounds by key, samples by cell, and what is not there: the first prompts of every cell, in ``room`` bytes.

    The same prompts at every layer, so that one hears a clip through the model.
    """
    numbers = {_numbered(line): cell for cell, line in enumerate(cells["lines"])}
    sounds: dict[str, Any] = {}
    samples: dict[int, list[Any]] = {}
    notes: dict[str, None] = {}
    for index, job in product(range(_PROMPTS), [job for job in found.jobs if job.run is not None]):
        wanted = cast(pd.DataFrame, job.table.query(f"role == 'lens' and not failed and index == {index}"))
        lines = wanted.to_dict("records")[: max(0, (_MOST - len(sounds)))]
        try:
            made = sounds_of(job, {line[key] for line in lines for key in ("row", "baseline")} - sounds.keys())
        except UserError as error:
            notes[f"No clips of job {job.folder.name}: {explain(error)}"] = None
            continue
        for line in lines:
            new = {key: made[key] for key in (line["row"], line["baseline"]) if key not in sounds}
            room -= sum(len(sound["audio"]) + len(sound["image"]) for sound in new.values()) + 1_500
            if room < 0:
                break
            sounds |= new
            samples.setdefault(numbers[_numbered(line)], []).append(_sample(line, sounds))
    parts = ("audio", "image", "seconds", "top_hz")
    return {key: {part: sound[part] for part in parts} for key, sound in sounds.items()}, samples, list(notes)


def _numbered(line: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in (*_SELECTORS, "layer", "concept"))


def _sample(line: Mapping[Any, Any], sounds: Mapping[str, Any]) -> dict[str, Any]:
    here, full = (np.exp(log_softmax(sounds[line[key]]["logits"])) for key in ("row", "baseline"))
    names = label_names(len(here))
    own = set(CONCEPTS[line["concept"]].labels)
    shown = sorted({*np.argsort(-here)[:_TOP].tolist(), *np.argsort(-full)[:_TOP].tolist()}, key=lambda k: -here[k])
    labels = [
        {
            "name": names[label],
            "own": label in own,
            "here": round(float(here[label]), 4),
            "full": round(float(full[label]), 4),
        }
        for label in shown
    ]
    return {
        "index": line["index"],
        "prompt": line["prompt"],
        "ndcg": line["ndcg"],
        "row": line["row"],
        "baseline": line["baseline"],
        "labels": labels,
    }


def summary_rows(summary: pd.DataFrame, most: int = 400) -> tuple[list[str], list[list[str]]]:
    """The summary as a table of words: axes that differ, and every metric with its interval."""
    schema = schema_of(summary)
    axes = [axis for axis in schema.axes if axis not in ("task",) and len(set(summary[axis])) > 1]
    lines = summary.head(most).to_dict("records")
    return [*axes, *schema.metrics, "n"], [
        [*(str(line[axis]) for axis in axes), *(_spread(line, metric) for metric in schema.metrics), str(line["n"])]
        for line in lines
    ]


def _spread(line: Mapping[Any, Any], metric: str) -> str:
    mean, low, high = (line[metric + end] for end in ("", "_low", "_high"))
    return "–" if np.isnan(mean) else f"{mean:.3f} [{low:.3f}, {high:.3f}]"
