"""The page of interchanges: effects at each site beside their controls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from mech_music.config.paths import options
from mech_music.config.schema import Direction, TechniqueConfig, load_technique
from mech_music.edits.row import Half, History
from mech_music.models.hooks import Hook
from mech_music.report.found import Found
from mech_music.report.view import Chart, Clips, Heat, Measure, Paragraph, View
from mech_music.report.words import each, listed, prompts, sampled, shortened
from mech_music.report.words import methods as shared_methods
from mech_music.results.canvas import COLOURS, COMPONENT_WORDS
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


def _pairs(found: Found) -> list[tuple[str, str]]:
    """Original and desired concept of every pair, in the table's order."""
    return list(dict.fromkeys(zip(found.effects["original"], found.effects["desired"], strict=True)))


def title(found: Found) -> str:
    """The pairs and the models."""
    pairs = _pairs(found)
    return f"{' → '.join(pairs[0]) if len(pairs) == 1 else f'{len(pairs)} pairs of concepts'}, model {found.models}"


def question(found: Found) -> str:
    """What the run asks, in one or two sentences."""
    effects, pairs = found.effects, _pairs(found)
    edited = listed([words for name, words in COMPONENT_WORDS.items() if name in set(effects["component"])], "or")
    asked, desired = pairs[0] if len(pairs) == 1 else ("one concept", "another concept")
    return (
        f"A prompt asks for {asked}, and inside the model the {edited} is edited "
        f"({listed(list(dict.fromkeys(effects['technique'])), 'or')}). "
        f"Is {desired} heard instead, and does everything else stay as it was?"
        + (f" Asked of {len(pairs)} pairs." if len(pairs) > 1 else "")
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, edit, place, clips, controls, pairs, prompts, layers, statistics."""
    pairs = _pairs(found)
    own = [
        ("Pairs", [shortened(f"{original} → {desired}" for original, desired in pairs) + "."] if pairs else []),
        prompts(found, ", the same for edit and controls", dict.fromkeys(original for original, _ in pairs[:2])),
    ]
    return shared_methods(found, "edited clips", [*_from_configs(found.runs), *own])


def _from_configs(runs: Sequence[Settings]) -> list[Paragraph]:
    if not runs:
        return []
    components = sorted({run.component for run in runs}, key=list(COMPONENT_WORDS).index)
    hooks = [
        f"{COMPONENT_WORDS[name.value]}: {Hook(0, point).name.replace('.0.', '.{layer}.')}"
        for name in components
        for point in dict.fromkeys(run.point for run in runs if run.component is name)
    ]
    means = [
        "mean(·) is the concept's mean activation at the same hook, for each autoregressive step and guidance half, "
        f"{_HISTORIES[history]}."
        for history in dict.fromkeys(
            run.history for run in runs if any(own.shift or own.along for own in _techniques(run))
        )
    ]
    return [
        ("Edit", [*each(edit for run in runs for edit in _edits(run)), *means]),
        (
            "Place",
            [
                *hooks,
                *each(_heads(run) for run in runs if run.head),
                *each(_frames(run) for run in runs),
                *each(_HALVES[run.half] for run in runs),
            ],
        ),
        ("Clips", each(f"{sampled(run)} A clip and its edited twin share prompt and sampling noise." for run in runs)),
        ("Controls", [*_controls(runs), *each(_draws(run) for run in runs if run.controls)]),
    ]


def _edits(run: Settings) -> list[str]:
    return list(dict.fromkeys(_edit(technique, run.strength) for technique in _techniques(run)))


def _techniques(run: Settings) -> list[TechniqueConfig]:
    """The run's own, and those that layers name."""
    return [own for _, parts in run.interventions for own in parts.values()]


def _edit(technique: TechniqueConfig, strength: float) -> str:
    name = technique.name
    doses = [formula(load_technique(name, strength)) for strength in (1.0, 2.0)] if name in options("technique") else []
    dose = f" at strength {strength:g}" if len(set(doses)) > 1 else ""
    return f"{name}{dose}: {formula(technique)}"


def formula(technique: TechniqueConfig) -> str:
    """``out′ = out + 2 · mean(desired) − 2 · mean(original)``."""
    terms = [(float(technique.scale), "out")]
    shift = [(float(weight), f"mean({concept})") for concept, weight in technique.shift.items()]
    random = technique.direction is Direction.random
    if technique.along:
        direction = _sum((float(weight), f"mean({concept})") for concept, weight in technique.along.items())
        removed = _sum([(1.0, "out"), (float(technique.scale) - 1.0, "(out · d / |d|²) · d")])
        return f"out′ = {removed}, d = {direction}" + (", as far in a random direction" if random else "")
    text = _sum(terms + ([] if random else shift))
    if random:
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


def _heads(run: Settings) -> str:
    return f"Heads edited: {', '.join(label for label, _ in run.head_sets)}, each by itself (+: at once)."


def _frames(run: Settings) -> str:
    return "Every autoregressive step is edited." if run.frames == "all" else f"Edited steps: {run.frames}."


def _controls(runs: Sequence[Settings]) -> list[str]:
    wanted = dict.fromkeys(name for run in runs for name in run.controls)
    order = [*INTERCHANGE.roles, *wanted]
    told = [_control(name) for name in sorted(wanted, key=order.index)]
    return told or ["No controls were run: an effect cannot be told from damage or from chance."]


def _draws(run: Settings) -> str:
    draws, noise = run.design.draws, max(run.design.draws, run.design.noise)
    if noise == 1:
        return "One clip of each control beside each clip of the effect."
    return (
        f"{draws} clips of each control ({noise} of noise) beside each clip of the effect, and their mean counts: "
        "other directions, other concepts, or, where nothing is drawn, another sampling noise. Precision is told of "
        "clips that share the effect's noise."
    )


def _control(name: str) -> str:
    control = load_control(name)
    edit = f"{formula(load_technique(control.technique))}. " if control.technique else ""
    return f"{name}: {edit}{control.role.meaning}"


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    effects = beside_controls(summary)
    return effects.assign(pair=effects["original"] + " → " + effects["desired"])


_BOTH = ("effectiveness", "precision")
_PARTS = ("effectiveness_original", "effectiveness_desired")


def page() -> View:
    """Layer by component, effects by layer, their cost in precision, dose and response."""
    return View(
        kind="interventions inside MusicGen",
        title=title,
        question=question,
        methods=methods,
        beside=_beside,
        site="{component}, {layer}",
        heading="{pair}: {technique} at {site}",
        hover="{technique}, strength {strength}",
        effect="the edit",
        things="interventions",
        rank="effectiveness",
        outcome="flipped",
        price=("precision", "kept"),
        shown=("effectiveness", "precision", "kept", "flipped"),
        measures={
            "effectiveness": Measure(signed=True, palette="RdBu_r"),
            "precision": Measure(signed=True, limits=(None, 0.0), level="ideal_precision"),
            **{name: Measure(signed=True) for name in ("ideal_precision", *_PARTS)},
            **{name: Measure(share=True, limits=(0.0, 1.0)) for name in ("kept", "kept_before", "flipped")},
        },
        of_controls=("effectiveness", "precision", "kept"),
        selectable=("model", "pair", "technique", "strength"),
        words={"component": COMPONENT_WORDS},
        colours={"component": COLOURS},
        plain=("pair",),
        more=("pair",),
        heat=Heat(down="component", finer=("head",), turns=True),
        glance_note="The best single layer of each component, and every set of layers.",
        clips=Clips(
            before="Original (no edit)",
            told=_BOTH,
            labels={"desired": "desired", "original": "original"},
            note="Of the cell's prompts, the one that the edit moved furthest, the one in the middle, which is the "
            "typical clip, and the one that it moved least (or the other way).",
        ),
        charts=(
            Chart(
                "curves", "Effectiveness and precision by layer", "By layer", _BOTH,
                panels="component", lines=("component",), note="All panels of one measure have one scale.",
            ),
            Chart(
                "tradeoff", "Effectiveness against precision", "Effect and precision", _BOTH, kind="scatter",
                lines=("component", "technique"), note="Numbers are layers. Up and right is better.",
            ),
            Chart(
                "dose", "Dose and response", "Dose and response", _BOTH, x="strength", panels="component",
                lines=("layer",), optional=True, note="The controls are those of the best layer.",
            ),
        ),
    )  # fmt: skip
