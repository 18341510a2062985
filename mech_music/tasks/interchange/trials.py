"""What an interchange asks for: every edited clip beside the same clip without the edit, and those of its controls."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mech_music.config.schema import Direction, TechniqueConfig, load_technique
from mech_music.edits.row import AnyEdit, Edit, Projection, RandomDirection, Row, Term
from mech_music.models.hooks import Hook
from mech_music.models.sampling import ANOTHER_SEED
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.saes.concept_prompts import feature_of
from mech_music.saes.settings import sae_of
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.declared import Control, load_control
from mech_music.tasks.interchange.design import Means, direction_seed
from mech_music.tasks.interchange.settings import InterchangeSettings as Settings

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trial:
    """One line of the table to be: an edited clip, and the same prompt and seed without the edit."""

    role: str
    technique: str
    layer: str
    head: str
    original: Concept
    desired: Concept
    index: int
    repeat: int
    prompt: Prompt
    row: Row
    baseline: Row


@dataclass(frozen=True)
class _Condition:
    """An edit, the techniques by layer, and what a line of it is there for.

    ``other``: whether it moves towards a third concept instead. ``reseeded``: whether its draws have their own seeds.
    """

    role: str
    techniques: Mapping[int, TechniqueConfig]
    other: bool
    draws: int
    reseeded: bool

    @property
    def name(self) -> str:
        """``steer``; of several, ``steer+ablate``, in the order of layers."""
        return "+".join(dict.fromkeys(technique.name for technique in self.techniques.values()))


def trials(run: Settings) -> Iterator[Trial]:
    """All trials, pair by pair: first the controls that have no layer, then each layer with its own."""
    controls = {role: load_control(role) for role in run.controls}
    planned = _planned(run, controls)
    for original, desired in run.pairs:
        prompts = run.evaluated(original, desired)
        numbers = run.numbers(original, prompts)
        for role in (role for role, control in controls.items() if control.technique is None):
            for index, clip, baseline in _clips(run, prompts):
                for draw in range(run.design.noise):
                    other = replace(baseline, seed=baseline.seed + (draw + 1) * ANOTHER_SEED)
                    again = clip * run.design.noise + draw
                    yield Trial(
                        role, "none", "", "", original, desired, numbers[index], again, prompts[index], other, baseline
                    )
        others, means = run.study.third_concepts(original, desired), run.means(original, desired)
        if not others and any(one.other for _, _, _, one in planned):
            log.warning(
                "there is no third %s beside %s and %s: no other control", desired.category, original.name, desired.name
            )
        for label, head, heads, one in planned:
            draws = min(one.draws, len(others)) if one.other else one.draws
            names = (one.role, one.name, label, head, original, desired)
            aims = [
                _Aim(original, others[draw] if one.other else desired, means, means.context) for draw in range(draws)
            ]
            edits_of = _EditsOf(run, heads, one.techniques)
            for index, clip, baseline in _clips(run, prompts):
                for draw, aim in enumerate(aims):
                    edits = edits_of(aim, draw, prompts[index])
                    if edits_of.random:
                        edits = edits_of.drawn(edits, direction_seed(original, desired, index, baseline.seed, draw))
                    sampling = baseline.seed + (draw * ANOTHER_SEED if one.reseeded else 0)
                    row, repeat = Row(baseline.prompt, sampling, edits), clip * draws + draw
                    yield Trial(*names, numbers[index], repeat, prompts[index], row, baseline)


def _clips(run: Settings, prompts: Sequence[Prompt]) -> Iterator[tuple[int, int, Row]]:
    """Every unedited clip, with the number of its prompt and its own among those of the prompt."""
    for index, prompt in enumerate(prompts):
        for clip in range(run.design.seeds):
            yield index, clip, Row(prompt.text, run.seed + clip)


def _planned(
    run: Settings, controls: Mapping[str, Control]
) -> list[tuple[str, str, tuple[int, ...] | None, _Condition]]:
    """Every label of layers and of heads with the heads themselves, and what is done there."""
    left_out: dict[tuple[str, str], None] = {}
    planned = [
        (label, head, heads, one)
        for label, parts in run.interventions
        for head, heads in run.head_sets
        for one in _conditions(run, controls, parts, left_out)
    ]
    for role, name in left_out:
        log.warning("control %s is technique %s itself: left out, nothing can be above it", role, name)
    return planned


def _conditions(
    run: Settings,
    controls: Mapping[str, Control],
    parts: Mapping[int, TechniqueConfig],
    left_out: dict[tuple[str, str], None],
) -> Iterator[_Condition]:
    """The techniques at some layers, then every control that has an edit of its own; those left out are told."""
    yield (effect := _Condition(INTERCHANGE.roles[0], parts, False, 1, reseeded=False))
    for role, control in controls.items():
        if control.technique is None:
            continue
        own = {layer: _of_control(control, technique, run.strength) for layer, technique in parts.items()}
        other = control.concept == "other"
        if all(_is_the_same(technique, own[layer], other) for layer, technique in parts.items()):
            left_out[role, effect.name] = None
        else:
            yield _Condition(role, own, other, run.design.draws, reseeded=not control.drawn)


def _of_control(control: Control, technique: TechniqueConfig, strength: float) -> TechniqueConfig:
    own = load_technique(control.technique, strength) if control.technique else technique
    return own if control.direction is Direction.mean else replace(own, direction=control.direction)


def _is_the_same(technique: TechniqueConfig, control: TechniqueConfig, other: bool) -> bool:
    """Whether a control's edit is the technique's own."""
    both = (technique, control)
    weights = [
        {(key, name): weight for key in ("shift", "along") for name, weight in getattr(one, key).items() if weight}
        for one in both
    ]
    moved = other and any(name == "desired" for _, name in weights[1])
    ways = [(one.scale, one.direction, one.sae) for one in both]
    return not moved and weights[0] == weights[1] and ways[0] == ways[1]


class _Aim(NamedTuple):
    """What clips' edits are made of: the concepts, the means, and the category that these are taken by."""

    original: Concept
    desired: Concept
    means: Means
    context: str


class _EditsOf:
    """The techniques' edits of clips, each made once and shared by the clips whose means are the same."""

    def __init__(self, run: Settings, heads: tuple[int, ...] | None, techniques: Mapping[int, TechniqueConfig]) -> None:
        self._run, self._heads, self._techniques = run, heads, techniques
        self._made: dict[tuple[int, str], tuple[Edit | Projection, ...]] = {}

        self.random = any(one.direction is not Direction.mean for one in techniques.values())

    def __call__(self, aim: _Aim, number: int, prompt: Prompt) -> tuple[Edit | Projection, ...]:
        """Those of a clip of a prompt; ``number``: of the aim."""
        which = number, prompt.words.get(aim.context, "")
        if which not in self._made:
            self._made[which] = tuple(self._edit(layer, one, aim, prompt) for layer, one in self._techniques.items())
        return self._made[which]

    def drawn(self, edits: tuple[Edit | Projection, ...], seed: int) -> tuple[AnyEdit, ...]:
        """The same with a direction of its own wherever that is random."""
        return tuple(
            edit if technique.direction is Direction.mean else RandomDirection(edit, seed)
            for edit, technique in zip(edits, self._techniques.values(), strict=True)
        )

    def _edit(self, layer: int, technique: TechniqueConfig, aim: _Aim, prompt: Prompt) -> Edit | Projection:
        hook = Hook(layer, self._run.point).name
        where = {"frames": self._run.steps, "half": self._run.half, "heads": self._heads}
        kind, weights = (Projection, technique.along) if technique.along else (Edit, technique.shift)
        return kind(hook, float(technique.scale), _terms(self._run, hook, technique, weights, aim, prompt), **where)


def _terms(
    run: Settings, hook: str, technique: TechniqueConfig, weights: Mapping[str, float], aim: _Aim, prompt: Prompt
) -> tuple[Term, ...]:
    """What a sum of means (or of directions of features) consists of; ``others`` stands for the original's peers, each
    with the same weight."""

    def terms(concept: Concept, weight: float) -> tuple[Term, ...]:
        if technique.sae:
            return (Term(weight, feature_of(sae_of(technique.sae), hook, run.study, concept)),)
        return aim.means.terms(concept, weight, prompt)

    others = [concept for concept in run.study.peers(aim.original) if concept != aim.original]
    named = {name: [concept] for name, concept in run.study.concepts.items()}
    named |= {"original": [aim.original], "desired": [aim.desired], "others": others}
    return tuple(
        term
        for name, weight in sorted(weights.items())
        if weight
        for concept in named[name]
        for term in terms(concept, float(weight) / len(named[name]))
    )
