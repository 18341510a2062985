"""The config in words: the question, and the paragraphs of a methods section."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mech_music.concepts import CONCEPTS, concept_prompts
from mech_music.config import Direction, RunConfig, TechniqueConfig, load_technique, options
from mech_music.edits import Half, History
from mech_music.figures.canvas import COMPONENT_WORDS
from mech_music.report.found import Found
from mech_music.schema import CONTROLS, Role, layer_order

Paragraph = tuple[str, list[str]]
_MOST = 12
_HALVES = {
    Half.both: "Both halves of classifier-free guidance are edited.",
    Half.cond: "Only the conditional half of classifier-free guidance is edited.",
    Half.uncond: "Only the unconditional half of classifier-free guidance is edited.",
}
_HISTORIES = {
    History.own: "recorded while the model generates each of the concept's prompts (history=own)",
    History.shared: "recorded along the tokens of the concept's first prompt (history=shared)",
}
_CONTROL_WORDS = {
    Role.self: "It does the damage of replacing, and brings no new concept.",
    Role.random: "Does any push of that size do it?",
    Role.noise: "noise: no edit, but another seed. What chance alone does between two clips of one prompt.",
}


def question(found: Found) -> str:
    """What the run asks, in one or two sentences."""
    effects, pairs = found.effects, found.pairs
    edited = _listed([words for name, words in COMPONENT_WORDS.items() if name in set(effects["component"])], "or")
    how = _listed(list(dict.fromkeys(effects["technique"])), "or")
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
    return [part for part in (*_from_configs(found.runs), *_from_table(found)) if part[1]]


# -- what the configs say --------------------------------------------------------------------------------


def _from_configs(runs: Sequence[RunConfig]) -> list[Paragraph]:
    if not runs:
        return []
    components = sorted({run.component for run in runs}, key=list(COMPONENT_WORDS).index)
    hooks = [f"{COMPONENT_WORDS[name.value]}: blocks.{{layer}}.hook_{name.point}" for name in components]
    kinds = [run.technique for run in runs]
    uses_means = any(kind.shift for kind in kinds)
    means = [
        "mean(·) is the concept's mean activation at the same hook, for each autoregressive step and guidance half, "
        f"{words}."
        for words in _each(_HISTORIES[run.history] for run in runs)
    ]
    return [
        ("Model", _each(_model(run) for run in runs)),
        ("Edit", [*_each(map(_edit, runs)), *(means if uses_means else [])]),
        ("Place", [*hooks, *_each(_frames(run) for run in runs), *_each(_HALVES[run.half] for run in runs)]),
        ("Clips", _each(_clips(run) for run in runs)),
        ("Controls", _controls(runs)),
    ]


def _model(run: RunConfig) -> str:
    model = run.model
    source = model.path or model.hub_id or "the bundled MusicGen, trained on synthesised music"
    return (
        f"{model.name} ({source}): {model.layers} layers, {model.frame_rate:g} codec frames a second, "
        f"{model.dtype.value}. Heard by the classifier {run.classifier.name}."
    )


def _edit(run: RunConfig) -> str:
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


def _frames(run: RunConfig) -> str:
    return "Every autoregressive step is edited." if run.frames == "all" else f"Edited steps: {run.frames}."


def _clips(run: RunConfig) -> str:
    sampling = run.sampling
    return (
        f"{run.duration:g} s each, seed {run.seed}, top-k {sampling.top_k}, temperature {sampling.temperature:g}, "
        f"guidance {sampling.guidance:g}. A clip and its edited twin share prompt and sampling noise."
    )


def _controls(runs: Sequence[RunConfig]) -> list[str]:
    wanted = {name for run in runs for name in run.controls}
    known = [_control(role) for role in CONTROLS if role.value in wanted]
    return known or ["No controls were run: an effect cannot be told from damage or from chance."]


def _control(role: Role) -> str:
    edit = "" if role is Role.noise else f"{role.value}: {formula(load_technique(role.value))}. "
    return edit + _CONTROL_WORDS[role]


# -- what the table says ---------------------------------------------------------------------------------


def _from_table(found: Found) -> list[Paragraph]:
    pairs, layers = found.pairs, sorted(set(found.effects["layer"]), key=layer_order)
    counts = ", ".join(str(n) for n in sorted(set(found.effects["prompts"])))
    originals = dict.fromkeys(original for original, _ in pairs[:2])
    examples = [example for original in originals for example in _example(original)]
    return [
        ("Layers", [f"{_layer_words(layers)}."] if layers else []),
        ("Pairs", [_shortened([f"{original} → {desired}" for original, desired in pairs]) + "."] if pairs else []),
        ("Prompts", [f"{counts} for each concept, the same for edit and controls.", *examples]),
        ("Statistics", _statistics(found)),
    ]


def _statistics(found: Found) -> list[str]:
    level, resamples = (found.summary[name].tolist()[0] for name in ("level", "resamples"))
    failed = int(found.table["failed"].to_numpy().sum())
    left_out = f"; {failed} lines of the table have a clip that could not be made and are left out" if failed else ""
    jobs = "one job" if len(found.jobs) == 1 else f"{len(found.jobs)} jobs"
    return [
        f"Means over prompts with {100 * level:g} % intervals of a paired bootstrap over prompts "
        f"({resamples} resamples).",
        f"{len(found.effects)} edited clips in {jobs}{left_out}.",
    ]


def _example(concept: str) -> list[str]:
    return [f"For instance: “{concept_prompts(CONCEPTS[concept], 1)[0].text}”"] if concept in CONCEPTS else []


def _layer_words(layers: Sequence[str]) -> str:
    single = [layer for layer in layers if layer.isdecimal()]
    numbers = [int(layer) for layer in single]
    run = len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1))
    words = [f"{numbers[0]} to {numbers[-1]}, one at a time"] if run else [f"{layer} alone" for layer in single]
    words += [
        "all layers at once" if layer == "together" else f"{layer} at once" for layer in layers if layer not in single
    ]
    return "; ".join(words)


# -- lists of words --------------------------------------------------------------------------------------


def _each(sentences: Iterable[str]) -> list[str]:
    """Each sentence once, and only the first of very many."""
    once = list(dict.fromkeys(sentences))
    return once if len(once) <= _MOST else [*once[:_MOST], f"… and {len(once) - _MOST} more."]


def _shortened(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more


def _listed(words: Sequence[Any], last: str) -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
