"""The design of the experiment: which prompts are evaluated, how often, and which prompts means are taken over.

A mean over the evaluated prompts carries their context (mood, genre, tempo) back to them: an effect of it may be one
of the context. With ``means=other`` a clip is edited with means over prompts of *other* moods than its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from omegaconf import MISSING

from mech_music.base.errors import UserError
from mech_music.edits.row import History, Mean, Prompts, Term
from mech_music.prompts.concepts import (
    CONCEPTS,
    GENRE_FILLERS,
    INSTRUMENT_FILLERS,
    MOODS,
    TEMPI,
    Category,
    Concept,
    Prompt,
    concept_prompts,
    make_prompt,
    prompts_of,
)
from mech_music.prompts.order import balanced


class Order(StrEnum):
    """In which order the combinations of words become prompts 0, 1, 2, …."""

    balanced = "balanced"
    product = "product"


class Contexts(StrEnum):
    """The prompts that a clip's means are taken over: of other moods than the clip's, or the evaluated ones."""

    other = "other"
    same = "same"


@dataclass
class DesignConfig:
    """``seeds``: clips of each prompt. ``draws``: how many random directions (and other concepts) a control has for
    each clip. ``mean_prompts``: how many prompts are behind a concept's means, 0 for as many as are evaluated."""

    name: str = MISSING
    order: Order = Order.balanced
    seeds: int = 1
    draws: int = 2
    means: Contexts = Contexts.other
    mean_prompts: int = 50

    def check(self) -> None:
        """UserError for numbers that make no sense."""
        for name, least in (("seeds", 1), ("draws", 1), ("mean_prompts", 0)):
            if (value := getattr(self, name)) < least:
                raise UserError(f"design.{name}={value}: expected {least} or more")

    @property
    def told(self) -> str:
        """In a table's axis: what tells results of one design from those of another."""
        means = f"{self.mean_prompts or 'as many'} of other moods" if self.means is Contexts.other else "the same"
        return f"{self.name}: {self.order.value} prompts, means over {means}, {self.draws} draws"


def evaluated(design: DesignConfig, original: Concept, desired: Concept, n: int) -> list[Prompt]:
    """The first ``n`` prompts of the original concept; in balanced order without those that name the desired one.

    ValueError if there are not so many.
    """
    if design.order is Order.product:
        return list(concept_prompts(original, n))
    free = [one for one in _ordered(original) if desired.text not in (one.genre, one.instrument)]
    if not 1 <= n <= len(free):
        raise ValueError(
            f"{n} prompts asked for {original.name!r} that do not name {desired.name!r}: allowed are 1 to {len(free)}"
        )
    return free[:n]


def mean_terms(
    design: DesignConfig, concept: Concept, weight: float, prompt: Prompt, n: int, seed: int, history: History
) -> tuple[Term, ...]:
    """``weight`` times the concept's mean as a clip of ``prompt`` is edited with it; ``n``: evaluated prompts.

    With means over other moods it is the mean of their means, so that each counts the same.
    """
    if design.means is Contexts.same:
        return (Term(weight, Mean(_mean_prompts(design, concept, n), seed, history)),)
    folds = [fold for mood, fold in _folds(concept, design.mean_prompts or n).items() if mood != prompt.mood]
    return tuple(Term(weight / len(folds), Mean(fold, seed, history)) for fold in folds)


def check_folds(design: DesignConfig, concepts: Sequence[Concept], n: int) -> None:
    """UserError where some mood would have no prompt to take a mean over, and for more prompts than there are."""
    if design.means is Contexts.same:
        return
    wanted = design.mean_prompts or n
    most = min(len(_ordered(concept)) for concept in concepts)
    if not len(MOODS) <= wanted <= most:
        raise UserError(
            f"design.mean_prompts={wanted}: means over other moods need {len(MOODS)} (one of each mood) to {most} "
            "prompts; or design.means=same"
        )


def direction_seed(original: Concept, desired: Concept, index: int, seed: int, draw: int) -> int:
    """Another random direction for every pair, prompt, clip and draw."""
    told = json.dumps([original.name, desired.name, index, seed, draw]).encode()
    return int.from_bytes(hashlib.sha256(told).digest()[:6], "big")


def other_concepts(original: Concept, desired: Concept) -> list[Concept]:
    """The other concepts of the desired one's category, from the one after it in the order of `CONCEPTS` on."""
    category = [concept for concept in CONCEPTS.values() if concept.category is desired.category]
    at = category.index(desired)
    return [concept for concept in (*category[at + 1 :], *category[:at]) if concept != original]


@cache
def _ordered(concept: Concept) -> tuple[Prompt, ...]:
    """Every prompt of a concept in balanced order."""
    is_genre = concept.category is Category.genre
    fillers = INSTRUMENT_FILLERS if is_genre else GENRE_FILLERS
    words = [(MOODS[m], fillers[f], TEMPI[t]) for m, f, t in balanced([len(MOODS), len(fillers), len(TEMPI)])]
    if is_genre:
        return tuple(make_prompt(mood, concept.text, filler, tempo) for mood, filler, tempo in words)
    return tuple(make_prompt(mood, filler, concept.text, tempo) for mood, filler, tempo in words)


def _mean_prompts(design: DesignConfig, concept: Concept, n: int) -> Prompts:
    n = design.mean_prompts or n
    if design.order is Order.product:
        return prompts_of(concept, n)
    return Prompts.of([prompt.text for prompt in _ordered(concept)[:n]], concept.name)


@cache
def _folds(concept: Concept, n: int) -> dict[str, Prompts]:
    """The first ``n`` prompts of a concept by mood."""
    first = _ordered(concept)[:n]
    return {
        mood: Prompts.of([prompt.text for prompt in first if prompt.mood == mood], f"{concept.name}, {mood}")
        for mood in MOODS
    }
