"""What an interchange asks for: every edited clip beside the same clip without the edit, and those of its controls."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from mech_music.config.schema import Direction, TechniqueConfig, load_technique
from mech_music.edits.row import Edit, RandomDirection, Row
from mech_music.models.hooks import Hook
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.declared import Control, load_control
from mech_music.tasks.interchange.design import Means, direction_seed
from mech_music.tasks.interchange.settings import InterchangeSettings as Settings

log = logging.getLogger(__name__)
_NOISE_SEED = 1_000_003  # the noise floor's clips: the same prompts with another seed


@dataclass(frozen=True)
class Trial:
    """One line of the table to be: an edited clip, and the same prompt and seed without the edit."""

    role: str
    technique: str
    layer: str
    original: Concept
    desired: Concept
    index: int
    repeat: int
    prompt: Prompt
    row: Row
    baseline: Row


@dataclass(frozen=True)
class _Condition:
    """An edit, and what a line of it is there for. ``other``: whether it moves towards a third concept instead."""

    role: str
    technique: TechniqueConfig
    other: bool
    draws: int


def trials(run: Settings) -> Iterator[Trial]:
    """All trials, pair by pair: first the controls that have no layer, then each layer with its own."""
    controls = {role: load_control(role) for role in run.controls}
    conditions, edit = list(_conditions(run, controls)), partial(_edit, run, run.steps)
    for original, desired in run.pairs:
        prompts = run.evaluated(original, desired)
        for role in (role for role, control in controls.items() if control.technique is None):
            for index, clip, baseline in _clips(run, prompts):
                for draw in range(run.design.draws):
                    other = replace(baseline, seed=baseline.seed + (draw + 1) * _NOISE_SEED)
                    again = clip * run.design.draws + draw
                    yield Trial(role, "none", "", original, desired, index, again, prompts[index], other, baseline)
        others, means = run.study.third_concepts(original, desired), run.means(original, desired)
        if not others and any(one.other for one in conditions):
            log.warning(
                "there is no third %s beside %s and %s: no other control", desired.category, original.name, desired.name
            )
        for label, layers in run.layers:
            for one in conditions:
                draws = min(one.draws, len(others)) if one.other else one.draws
                for index, clip, baseline in _clips(run, prompts):
                    for draw in range(draws):
                        aim = _Aim(original, others[draw] if one.other else desired, prompts[index], means)
                        seed = direction_seed(original, desired, index, baseline.seed, draw)
                        edits = tuple(edit(one.technique, layer, aim, seed) for layer in layers)
                        row, repeat = replace(baseline, edits=edits), clip * draws + draw
                        names = (one.role, one.technique.name, label, original, desired)
                        yield Trial(*names, index, repeat, prompts[index], row, baseline)


def _clips(run: Settings, prompts: Sequence[Prompt]) -> Iterator[tuple[int, int, Row]]:
    """Every unedited clip, with the number of its prompt and its own among those of the prompt."""
    for index, prompt in enumerate(prompts):
        for clip in range(run.design.seeds):
            yield index, clip, Row(prompt.text, run.seed + clip)


def _conditions(run: Settings, controls: Mapping[str, Control]) -> Iterator[_Condition]:
    """The technique, then every control that has an edit of its own."""
    yield _Condition(INTERCHANGE.roles[0], run.technique, False, 1)
    for role, control in controls.items():
        if control.technique is None:
            continue
        own = load_technique(control.technique, run.strength) if control.technique else run.technique
        technique = own if control.direction is Direction.mean else replace(own, direction=control.direction)
        other = control.concept == "other"
        if _is_the_same(run.technique, technique, other):
            log.warning(
                "control %s is technique %s itself: left out, nothing can be above it", role, run.technique.name
            )
        else:
            yield _Condition(role, technique, other, run.design.draws if control.drawn else 1)


def _is_the_same(technique: TechniqueConfig, control: TechniqueConfig, other: bool) -> bool:
    """Whether a control's edit is the technique's own."""
    weights = [{name: weight for name, weight in one.shift.items() if weight} for one in (technique, control)]
    moved = other and "desired" in weights[1]
    ways = [(one.scale, one.direction) for one in (technique, control)]
    return not moved and weights[0] == weights[1] and ways[0] == ways[1]


class _Aim(NamedTuple):
    """What one clip's edit is made of: the concepts, its prompt (which decides whose means they are), and the means."""

    original: Concept
    desired: Concept
    prompt: Prompt
    means: Means


def _edit(
    run: Settings, steps: tuple[int, int] | None, technique: TechniqueConfig, layer: int, aim: _Aim, seed: int
) -> Edit | RandomDirection:
    """The technique's edit at one layer; ``seed``: of its direction, where that is random."""
    named = run.study.concepts | {"original": aim.original, "desired": aim.desired}
    shift = tuple(
        term
        for name, weight in sorted(technique.shift.items())
        if weight
        for term in aim.means.terms(named[name], float(weight), aim.prompt)
    )
    hook = Hook(layer, run.component.point).name
    edit = Edit(hook, float(technique.scale), shift, frames=steps, half=run.half)
    return edit if technique.direction is Direction.mean else RandomDirection(edit, seed)
