"""What steering asks for: candidates on the prompts that one is chosen by, then everything on others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mech_music.edits.row import Edit, Half, RandomDirection, Row, Term
from mech_music.edits.schedule import Scheduled
from mech_music.edits.splice import Change, How, Splice
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.saes.concept_prompts import feature_of, firing_on, held_out_with, known, others, prompts_with
from mech_music.saes.named import ConceptDirection, ConceptFeatures, ConceptShift, Firing, RandomFeatures
from mech_music.tasks.sae_steer.settings import SaeSteerSettings as Settings
from mech_music.tasks.sae_steer.settings import Steer

_CHOICE_STRENGTH = 1.0  # or the nearest of those asked for


@dataclass(frozen=True)
class Trial:
    """One clip: what it is edited with (``role``: candidate, random, means or unedited), and for what.

    ``choice``: whether it is one that a candidate is chosen by. ``candidate``: which it is; of a random one, which it
    is as long as; else −1. ``repeat``: of a random one, which draw.
    """

    role: str
    layer: int
    strength: float
    original: Concept
    desired: Concept
    index: int
    repeat: int
    prompt: Prompt
    candidate: int
    choice: bool
    row: Row
    baseline: Row


@dataclass(frozen=True)
class _Way:
    """How clips of one pair are edited at one hook."""

    run: Settings
    hook: str
    original: Concept
    desired: Concept

    def edits(self, candidate: int, strength: float) -> tuple[Any, ...]:
        """Those of a candidate."""
        if self.run.steer is Steer.swap:
            return (self._scheduled(self._swapped(candidate, strength)),)
        return self._added(Term(strength, self._direction(candidate)))

    def random(self, candidate: int, strength: float, seed: int) -> tuple[Any, ...]:
        """As far as these at every step, along as many features; with a contrast, the other half the other way."""
        n = {Steer.feature: 1, Steer.features: candidate, Steer.swap: 2 * candidate}[self.run.steer]
        used = self._told(candidate) if self.run.steer is Steer.swap else (self._direction(candidate),)
        drawn = RandomFeatures(self._firing, n, seed, used)
        edits = zip(self.edits(candidate, strength), (1.0, -1.0), strict=False)
        return tuple(RandomDirection(edit, seed, Term(sign, drawn)) for edit, sign in edits)

    def means(self, strength: float) -> tuple[Any, ...]:
        """The difference of means."""
        return self._added(Term(strength, self._shift(0)))

    @property
    def _firing(self) -> Firing:
        return firing_on(self.run.sae, self.hook, self.run.study)

    def _direction(self, candidate: int) -> ConceptDirection | ConceptShift:
        sae, study = self.run.sae, self.run.study
        if self.run.steer is Steer.feature:
            return feature_of(sae, self.hook, study, self.desired, candidate)
        return self._shift(candidate)

    def _shift(self, n: int) -> ConceptShift:
        there, here = (known(self.run.sae, self.run.study, one) for one in (self.desired, self.original))
        return ConceptShift(self._firing, there, here, n)

    def _told(self, n: int) -> tuple[ConceptFeatures, ...]:
        """The features that tell the original concept, and those that tell the desired one."""
        sae, study = self.run.sae, self.run.study
        return tuple(
            ConceptFeatures(self._firing, known(sae, study, one), others(sae, study, one), n)
            for one in (self.original, self.desired)
        )

    def _swapped(self, candidate: int, strength: float) -> Splice:
        old, new = self._told(candidate)
        changes = (Change(old, How.zero), Change(new, How.set, strength))
        return Splice(self.hook, self._firing.sae, changes, half=self.run.half)

    def _added(self, *shift: Term) -> tuple[Any, ...]:
        """In the half that is edited; with a contrast, the opposite in the unconditional one."""
        own = Edit(self.hook, 1.0, shift, half=self.run.half)
        if not (contrast := self.run.contrast):
            return (self._scheduled(own),)
        opposite = tuple(Term(-contrast * term.weight, term.source) for term in shift)
        return self._scheduled(own), self._scheduled(Edit(self.hook, 1.0, opposite, half=Half.uncond))

    def _scheduled(self, edit: Edit | Splice) -> Any:
        return edit if self.run.course is None else Scheduled(edit, self.run.course)


def choice_strength(run: Settings) -> float:
    """The strength at which candidates are compared: the one asked for that is nearest to 1."""
    return min(run.strengths, key=lambda strength: abs(strength - _CHOICE_STRENGTH))


def trials(run: Settings) -> Iterator[Trial]:
    """Pair by pair, layer by layer."""
    for original, desired in run.pairs:
        chosen_by = prompts_with(run.study, original)[: run.choice_prompts]
        tested = held_out_with(run.sae, run.study, original, run.prompts)
        chosen_by = chosen_by if len(run.tried) > 1 else []  # of one, none is chosen
        for layer, hook in run.hooks.items():
            way = _Way(run, hook, original, desired)
            for choice, some in ((True, chosen_by), (False, tested)):
                for index, prompt in enumerate(some):
                    for role, strength, candidate, repeat, edits in _edits(way, index, choice):
                        plain = Row(prompt.text, run.seed)
                        yield Trial(role, layer, strength, original, desired, index, repeat, prompt, candidate, choice,
                                    Row(prompt.text, run.seed, edits), plain)  # fmt: skip


def _edits(way: _Way, index: int, choice: bool) -> Iterator[tuple[str, float, int, int, tuple[Any, ...]]]:
    run = way.run
    for strength in [choice_strength(run)] if choice else run.strengths:
        for candidate in run.tried:
            yield "candidate", strength, candidate, 0, way.edits(candidate, strength)
        if choice:
            continue
        for candidate in run.tried:
            for repeat in range(run.draws):
                seed = run.draws * index + repeat  # other features for each prompt, so that none decides the control
                yield "random", strength, candidate, repeat, way.random(candidate, strength, seed)
        yield "means", strength, -1, 0, way.means(strength)
    if not choice:
        yield "unedited", 0.0, -1, 0, ()
