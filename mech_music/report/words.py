"""The config in words: what the methods sections of all tasks share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mech_music.config.schema import RunConfig
from mech_music.prompts.concepts import CONCEPTS, concept_prompts
from mech_music.report.found import Found
from mech_music.results.canvas import POINT_WORDS
from mech_music.results.columns import layer_order

Paragraph = tuple[str, list[str]]
_MOST = 12


def told(paragraphs: Iterable[Paragraph]) -> list[Paragraph]:
    """The paragraphs that say something."""
    return [part for part in paragraphs if part[1]]


def models(runs: Sequence[RunConfig], listening: bool = True) -> Paragraph:
    """Each model, and who listens to it."""
    return "Model", each(_model(run, listening) for run in runs)


def _model(run: RunConfig, listening: bool) -> str:
    model = run.model
    source = model.path or model.hub_id or "the bundled MusicGen, trained on synthesised music"
    heard = f" Heard by the classifier {run.classifier.name}." if listening else ""
    return (
        f"{model.name} ({source}): {model.layers} layers, {model.frame_rate:g} codec frames a second, "
        f"{model.dtype.value}.{heard}"
    )


def sampled(run: RunConfig) -> str:
    """Length, seed and sampling of the clips."""
    return f"{run.duration:g} s each, seed {run.seed}, {drawn(run)}."


def drawn(run: RunConfig) -> str:
    """How tokens are drawn."""
    sampling = run.sampling
    return f"top-k {sampling.top_k}, temperature {sampling.temperature:g}, guidance {sampling.guidance:g}"


def statistics(found: Found, what: str) -> list[str]:
    """Intervals, and how many clips are behind them; ``what``: the kind of lines that the table holds."""
    level, resamples = (found.summary[name].tolist()[0] for name in ("level", "resamples"))
    failed = int(found.table["failed"].to_numpy().sum())
    left_out = f"; {failed} lines of the table have a clip that could not be made and are left out" if failed else ""
    jobs = "one job" if len(found.jobs) == 1 else f"{len(found.jobs)} jobs"
    return [
        f"Means over prompts with {100 * level:g} % intervals of a paired bootstrap over prompts "
        f"({resamples} resamples).",
        f"{len(found.effects)} {what} in {jobs}{left_out}.",
    ]


def prompt_counts(found: Found) -> str:
    """How many prompts each job had: ``40`` or ``4, 40``."""
    return ", ".join(str(n) for n in sorted(set(found.effects["prompts"])))


def example(concept: str) -> list[str]:
    """A prompt of the concept, if it is one of ours."""
    return [f"For instance: “{concept_prompts(CONCEPTS[concept], 1)[0].text}”"] if concept in CONCEPTS else []


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


def where_read(found: Found) -> str:
    """``0 to 7, one at a time; the stream is read after the layer``."""
    layers = sorted(set(found.effects["layer"]), key=layer_order)
    points = [POINT_WORDS[name] for name in dict.fromkeys(found.effects["component"])]
    return f"{layers_in_words(layers)}; the stream is read {shortened(points)}"


# -- lists of words --------------------------------------------------------------------------------------


def each(sentences: Iterable[str]) -> list[str]:
    """Each sentence once, and only the first of very many."""
    once = list(dict.fromkeys(sentences))
    return once if len(once) <= _MOST else [*once[:_MOST], f"… and {len(once) - _MOST} more."]


def shortened(words: Sequence[str]) -> str:
    """The first of many words, with commas."""
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more


def listed(words: Sequence[Any], last: str) -> str:
    """``a, b and c``."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
