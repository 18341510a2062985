"""The design of the experiment: which prompts are evaluated, how often, and which prompts means are taken over.

A mean over the evaluated prompts carries their context (mood, genre, tempo) back to them: an effect of it may be one
of the context. With ``means=other`` a clip is edited with means over prompts of other contexts than its own: of other
moods, or of other words of the first category that the pair is not about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import MISSING

from mech_music.base.errors import UserError
from mech_music.edits.row import Half, History, Mean, Prompts, Source, Term
from mech_music.metrics.measures import reliability
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.prompts.prompt_set import Pair, PromptSet

if TYPE_CHECKING:
    from torch import Tensor


class Order(StrEnum):
    """In which order the combinations of words become prompts 0, 1, 2, …."""

    balanced = "balanced"
    product = "product"


class Contexts(StrEnum):
    """The prompts that a clip's means are taken over: of other contexts than the clip's, or the first ones of any."""

    other = "other"
    same = "same"


@dataclass
class DesignConfig:
    """``seeds``: clips of each prompt. ``draws``: how many random directions, other concepts or seeds a control has for
    each clip. ``noise``: the same of a control without an edit, which costs little: it serves all sites of a table.
    ``mean_prompts``: how many prompts are behind a concept's means, 0 for as many as are evaluated."""

    name: str = MISSING
    order: Order = Order.balanced
    seeds: int = 1
    draws: int = 2
    noise: int = 6
    means: Contexts = Contexts.other
    mean_prompts: int = 50

    def check(self) -> None:
        """UserError for numbers that make no sense."""
        for name, least in (("seeds", 1), ("draws", 1), ("noise", 1), ("mean_prompts", 0)):
            if (value := getattr(self, name)) < least:
                raise UserError(f"design.{name}={value}: expected {least} or more")

    @property
    def told(self) -> str:
        """In a table's axis: what tells results of one design from those of another."""
        contexts = "other contexts" if self.means is Contexts.other else "the same contexts"
        means = f"means over {self.mean_prompts or 'as many'} prompts, of {contexts}"
        return f"{self.name}: {self.order.value} prompts, {means}, {self.draws} draws, {self.noise} of noise"


def evaluated(
    design: DesignConfig,
    study: PromptSet,
    original: Concept,
    desired: Concept,
    n: int,
    trained_on: Collection[str] = (),
) -> list[Prompt]:
    """The first ``n`` prompts of the original concept; in balanced order without those that name the desired one.

    ``trained_on``: what features of the edit were trained on or chosen by, which is left out. UserError if there are
    not so many.
    """
    if design.order is Order.product and not trained_on:
        return list(study.concept_prompts(original, n))
    free = [one for one in _ordered(design, study, original) if one.text not in trained_on]
    if design.order is Order.balanced:
        free = [one for one in free if desired.text not in one.words.values()]
    if not 1 <= n <= len(free):
        unseen = " and that features were not trained on" if trained_on else ""
        raise UserError(
            f"{n} prompts asked for '{original.name}' that do not name {desired.text}{unseen}: allowed are 1 to "
            f"{len(free)}{', or more technique.sae.held_out' if trained_on else ''}"
        )
    return free[:n]


def numbers(design: DesignConfig, study: PromptSet, original: Concept, prompts: Sequence[Prompt]) -> list[int]:
    """The place of each prompt in the order of all its concept's: the same in every pair, so that pairs are paired."""
    places = {prompt.text: place for place, prompt in enumerate(_ordered(design, study, original))}
    return [places[prompt.text] for prompt in prompts]


@dataclass(frozen=True)
class Means:
    """The means that clips of one pair are edited with. ``n``: evaluated prompts. ``heads``: means of heads."""

    design: DesignConfig
    study: PromptSet
    pair: Pair
    n: int
    seed: int
    history: History
    heads: bool = False

    def terms(self, concept: Concept, weight: float, prompt: Prompt) -> tuple[Term, ...]:
        """``weight`` times a concept's mean, as a clip of ``prompt`` is edited with it.

        With means over other contexts it is the mean of their means, so that each context counts the same.
        """
        if self.design.means is Contexts.same:
            return (Term(weight, self._mean(_named(self.first(concept), concept.name))),)
        own = prompt.words[self.context]
        folds = [fold for word, fold in self.folds(concept).items() if word != own]
        if not folds:
            raise UserError(
                f"design.means=other: every prompt behind the mean of '{concept.name}' has {self.context} '{own}', as "
                "the edited ones: allowed are more design.mean_prompts, or design.means=same"
            )
        return tuple(Term(weight / len(folds), self._mean(fold)) for fold in folds)

    def _mean(self, prompts: Prompts) -> Mean:
        return Mean(prompts, self.seed, self.history, self.heads)

    @property
    def context(self) -> str:
        """The category whose words tell contexts apart: the first that the pair is not about."""
        places = self.study.places or tuple(self.study.categories)
        about = {concept.category for concept in self.pair}
        return next((name for name in places if name not in about), "")

    def first(self, concept: Concept) -> tuple[Prompt, ...]:
        """The prompts behind a concept's means, of all contexts."""
        return _ordered(self.design, self.study, concept)[: self.design.mean_prompts or self.n]

    def folds(self, concept: Concept) -> dict[str, Prompts]:
        """The prompts behind a concept's means by their context."""
        return _folds(self.first(concept), self.context, concept.name)

    def reliability(
        self,
        mean: Callable[[Mean, str], Tensor],
        recorded: Collection[Source],
        hooks: Sequence[str],
        half: Half,
        heads: tuple[Sequence[int] | None, int],
        steps: tuple[int, int] | None,
    ) -> float:
        """That of the shift from the original's to the desired concept's mean over contexts, at all hooks together.

        NaN where means are not taken by context, or not of both concepts. ``mean``: finds one of those ``recorded``.
        ``heads``: those that are edited (None for the whole value), of how many. ``steps``: those that are edited.
        """
        if self.design.means is Contexts.same:
            return float("nan")
        folds = [self.folds(concept) for concept in self.pair]
        shifts = []
        own = slice(*steps) if steps else slice(None)
        for word in (word for word in folds[0] if word in folds[1]):
            original, desired = (self._mean(fold[word]) for fold in folds)
            if {original, desired} <= set(recorded):
                moved = [(mean(desired, hook) - mean(original, hook))[own, _EDITED[half]] for hook in hooks]
                shifts.append(_of_heads(np.stack([shift.cpu().numpy() for shift in moved]), *heads))
        return reliability(np.stack(shifts)) if shifts else float("nan")

    def check(self) -> None:
        """UserError where a clip would be left without a mean."""
        if self.design.means is Contexts.same:
            return
        fix = "allowed: more design.mean_prompts, or design.means=same"
        if not self.context:
            raise UserError(f"prompts have no word beside the pair's that could tell contexts apart; {fix}")
        for concept in self.pair:
            if len(folds := self.folds(concept)) < 2:
                raise UserError(
                    f"design.means=other: the {len(self.first(concept))} prompts behind the mean of '{concept.name}' "
                    f"have one {self.context} only ({', '.join(folds)}); {fix}"
                )


_EDITED = {Half.cond: slice(0, 1), Half.uncond: slice(1, 2), Half.both: slice(0, 2)}


def _of_heads(values: np.ndarray, heads: Sequence[int] | None, n_heads: int) -> np.ndarray:
    """What some heads have of ``[…, width]``."""
    return values if heads is None else values.reshape(*values.shape[:-1], n_heads, -1)[..., list(heads), :]


def direction_seed(original: Concept, desired: Concept, index: int, seed: int, draw: int) -> int:
    """Another random direction for every pair, prompt, clip and draw."""
    told = json.dumps([original.name, desired.name, index, seed, draw]).encode()
    return int.from_bytes(hashlib.sha256(told).digest()[:6], "big")


def _ordered(design: DesignConfig, study: PromptSet, concept: Concept) -> tuple[Prompt, ...]:
    """Every prompt of a concept, in the order of the design."""
    return _every(study, concept, design.order is Order.balanced)


@cache
def _every(study: PromptSet, concept: Concept, in_balance: bool) -> tuple[Prompt, ...]:
    return study.concept_prompts(concept, study.n_prompts(concept) or 1, in_balance)


@cache
def _named(prompts: tuple[Prompt, ...], name: str) -> Prompts:
    return Prompts.of([prompt.text for prompt in prompts], name)


@cache
def _folds(prompts: tuple[Prompt, ...], context: str, name: str) -> dict[str, Prompts]:
    folds: dict[str, list[str]] = {}
    for prompt in prompts:
        folds.setdefault(prompt.words[context], []).append(prompt.text)
    return {word: Prompts.of(texts, f"{name}, {word}") for word, texts in folds.items()}
