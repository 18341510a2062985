"""The config in words: what the methods sections of all tasks share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from mech_music.base.paths import user_path
from mech_music.config.paths import package_folder
from mech_music.config.schema import RunConfig
from mech_music.report.found import Found
from mech_music.report.view import Paragraph
from mech_music.results.columns import layer_order

_MOST = 12


def methods(found: Found, what: str, own: Sequence[Paragraph]) -> list[Paragraph]:
    """Headings with sentences: the model, what the task says itself (``own``), layers, prompts, statistics.

    ``what``: the kind of lines that the table holds. Paragraphs that say nothing are left out.
    """
    effects = found.effects
    layers = sorted(set(effects["layer"]), key=layer_order) if "layer" in effects else []
    paragraphs = [
        ("Model", each(_model(run, "classifier" in found.schema.axes) for run in found.runs)),
        *own,
        ("Layers", [f"{layers_in_words(layers)}."] if layers else []),
        ("Statistics", _statistics(found, what)),
    ]
    return [paragraph for paragraph in paragraphs if paragraph[1]]


def _model(run: RunConfig, with_classifier: bool) -> str:
    model = run.model
    source = _folder(model.path) if model.path else model.hub_id or "the bundled MusicGen, trained on synthesised music"
    classified = f" Classified by {run.classifier.name}." if with_classifier else ""
    return (
        f"{model.name} ({source}): {model.layers} layers, {model.frame_rate:g} codec frames a second, "
        f"{model.dtype.value}.{classified}"
    )


def _folder(path: str) -> str:
    """Of a model that comes with the package that; else the folder's name, as a page names no place of a machine."""
    place = user_path(path)
    return "bundled" if place.is_relative_to(package_folder("")) else place.name


def _statistics(found: Found, what: str) -> list[str]:
    """Intervals, and how many clips are behind them."""
    level, resamples = (found.summary[name].tolist()[0] for name in ("level", "resamples"))
    failed = int(found.table["failed"].to_numpy().sum())
    left_out = f"; {failed} lines of the table have a clip that could not be made and are left out" if failed else ""
    jobs = "one job" if len(found.jobs) == 1 else f"{len(found.jobs)} jobs"
    return [
        f"Means over prompts with {100 * level:g} % bootstrap-t intervals over prompts (shares: Wilson's) "
        f"({resamples} resamples).",
        f"{len(found.effects)} {what} in {jobs}{left_out}.",
    ]


def sampled(run: RunConfig) -> str:
    """Length, seed and sampling of the clips."""
    return f"{run.duration:g} s each, seed {run.seed}, {sampling(run)}."


def sampling(run: RunConfig) -> str:
    """How tokens are drawn."""
    how = run.sampling
    return f"top-k {how.top_k}, temperature {how.temperature:g}, guidance {how.guidance:g}"


def prompts(found: Found, more: str = "", examples: Iterable[str] = ()) -> Paragraph:
    """How many prompts each job had (``40`` or ``4, 40``), and the first one of each of the ``examples``: concepts."""
    counts = ", ".join(str(n) for n in sorted(set(found.effects["prompts"])))
    shown = [f"For instance: “{text}”" for name in examples for text in _first_prompt(found.effects, name)]
    return "Prompts", [f"{counts} for each concept{more}.", *shown]


def _first_prompt(effects: pd.DataFrame, concept: str) -> list[str]:
    """A concept's first prompt, if the table has one."""
    named = effects["original" if "original" in effects else "concept"] == concept
    return list(effects.loc[named & (effects["index"] == 0), "prompt"])[:1]


def layers_in_words(layers: Sequence[str]) -> str:
    """``0 to 7, one at a time; all layers at once``."""
    single = [layer for layer in layers if layer.isdecimal()]
    numbers = [int(layer) for layer in single]
    run = len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1))
    words = [f"{numbers[0]} to {numbers[-1]}, one at a time"] if run else [f"{layer} alone" for layer in single]
    words += [
        "all layers at once" if layer == "together" else f"{layer} at once" for layer in layers if layer not in single
    ]
    return "; ".join(words)


# -- lists of words --------------------------------------------------------------------------------------


def each(sentences: Iterable[str]) -> list[str]:
    """Each sentence once, and only the first of very many."""
    once = list(dict.fromkeys(sentences))
    return once if len(once) <= _MOST else [*once[:_MOST], f"… and {len(once) - _MOST} more."]


def shortened(words: Iterable[str]) -> str:
    """Each word once with commas, and only the first of very many."""
    once = list(dict.fromkeys(words))
    return ", ".join(once[:_MOST]) + (f" and {len(once) - _MOST} more" if len(once) > _MOST else "")


def listed(words: Sequence[Any], last: str) -> str:
    """``a, b and c``."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
