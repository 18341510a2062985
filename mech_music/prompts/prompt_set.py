"""A prompt set: its concepts, the prompts that name them, and the words for concepts and pairs of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations, islice, permutations, product
from math import prod

from mech_music.base.errors import UserError, unknown
from mech_music.edits.row import Prompts
from mech_music.prompts.concepts import Category, Concept, Prompt
from mech_music.prompts.order import balanced

Pair = tuple[Concept, Concept]


@dataclass(frozen=True, eq=False)
class PromptSet:
    """Made by `mech_music.prompts.declared`, which checks it; equal only to itself.

    categories: by name, in the order in which concepts are listed. study: those that ``all`` stands for. template:
    with a category in braces at each of its ``places``. own: a file's prompts (``source``) in place of a template.
    """

    name: str
    categories: Mapping[str, Category]
    study: tuple[str, ...]
    template: str = ""
    places: tuple[str, ...] = ()
    own: tuple[Prompt, ...] = ()
    source: str = ""

    @cached_property
    def concepts(self) -> dict[str, Concept]:
        """Every concept by its name."""
        return {concept.name: concept for category in self.categories.values() for concept in category.concepts}

    @cached_property
    def studied(self) -> list[Concept]:
        """The concepts that ``all`` stands for."""
        return [concept for name in self.study for concept in self.categories[name].group]

    # -- prompts -------------------------------------------------------------------------------------------

    def concept_prompts(self, concept: Concept, n: int, in_balance: bool = False) -> tuple[Prompt, ...]:
        """The first ``n`` prompts with the concept fixed and the other categories' words varied, in template order.

        The last category varies fastest; or, ``in_balance``, any first ones have each word of each category about
        equally often (`mech_music.prompts.order`). Of a file, its prompts with the concept, in its order. UserError
        if there are fewer.
        """
        most = self.n_prompts(concept)
        if not most:
            held = dict.fromkeys(word for prompt in self.own if (word := prompt.words[concept.category]))
            raise UserError(
                f"'{self.source}' has no prompt about '{concept.name}': none of its {len(self.own)} prompts has "
                f"{concept.text} as {concept.category}; there are {', '.join(held) or 'none with one'}"
            )
        if not 1 <= n <= most:
            raise UserError(f"{n} prompts asked for '{concept.name}': allowed are 1 to {most}")
        if self.own:
            return tuple(islice((p for p in self.own if p.words[concept.category] == concept.text), n))
        others = [name for name in self.places if name != concept.category]
        words = [self.categories[name].words for name in others]
        combined = _balanced(words) if in_balance else product(*words)
        fixed = {concept.category: concept.text}
        return tuple(self.fill(fixed | dict(zip(others, chosen, strict=True))) for chosen in islice(combined, n))

    def n_prompts(self, concept: Concept) -> int:
        """How many prompts there are about a concept."""
        if self.own:
            return sum(prompt.words[concept.category] == concept.text for prompt in self.own)
        return prod(len(self.categories[name].words) for name in self.places if name != concept.category)

    def fill(self, words: Mapping[str, str]) -> Prompt:
        """The template with a word of each category."""
        return Prompt(self.template.format(**words), {name: words[name] for name in self.places})

    def prompts_of(self, concept: Concept, n: int) -> Prompts:
        """The first ``n`` prompts of a concept as rows and sources name them."""
        return _named(self, concept, n)

    @cached_property
    def every_prompt(self) -> Prompts:
        """Every combination of words and concepts, or the whole file, as a lens names what it is trained on."""
        if self.own:
            return Prompts.of([prompt.text for prompt in self.own], "every prompt")
        filled = (self.fill(dict(zip(self.places, chosen, strict=True))) for chosen in product(*self._every_word))
        return Prompts.of([prompt.text for prompt in filled], "every prompt")

    @cached_property
    def balanced_prompts(self) -> tuple[Prompt, ...]:
        """The same prompts in balanced order: among any first ones each word is about equally often."""
        if self.own:
            return self.own
        chosen = _balanced(self._every_word)
        return tuple(self.fill(dict(zip(self.places, words, strict=True))) for words in chosen)

    @property
    def _every_word(self) -> list[list[str]]:
        """Of each place, its words and the concepts' own."""
        kinds = [self.categories[name] for name in self.places]
        return [list(dict.fromkeys([*kind.words, *(concept.text for concept in kind.concepts)])) for kind in kinds]

    def counterfactual(self, prompt: Prompt, original: Concept, desired: Concept) -> Prompt:
        """The same prompt with one word swapped: ``desired`` where it names ``original``.

        UserError for concepts of two categories, and for a prompt of a file that does not have the word exactly once.
        """
        if original.category != desired.category:
            raise UserError(
                f"{original.name} ({original.category}) cannot be swapped for {desired.name} ({desired.category}) in a "
                "prompt: allowed are two concepts of one category"
            )
        words = {**prompt.words, original.category: desired.text}
        if not self.own:
            return self.fill(words)
        swapped, n = re.subn(
            rf"(?<!\w){re.escape(original.text)}(?!\w)", lambda _: desired.text, prompt.text, flags=re.I
        )
        if n != 1 or prompt.words[original.category] != original.text:
            raise UserError(
                f"'{prompt.text}' has '{original.text}' {n} times: it can be swapped where it is there once"
            )
        return Prompt(swapped, words)

    # -- what a concept is beside ----------------------------------------------------------------------------

    def peers(self, concept: Concept) -> tuple[Concept, ...]:
        """What a concept is told apart from: its category's group, itself included, or all of the category."""
        category = self.categories[concept.category]
        return category.group if concept in category.group else category.concepts

    def third_concepts(self, original: Concept, desired: Concept) -> list[Concept]:
        """The other peers of the desired one, from the one after it on; there may be none."""
        peers = self.peers(desired)
        at = peers.index(desired)
        return [concept for concept in (*peers[at + 1 :], *peers[:at]) if concept != original]

    def kept_beside(self, concept: Concept) -> Category | None:
        """The category whose word should stay when concepts of this one are swapped: the first other with concepts."""
        others = (kind for kind in self.categories.values() if kind.name != concept.category and kind.concepts)
        return next(others, None)

    # -- words for concepts and pairs ------------------------------------------------------------------------

    @cached_property
    def concept_groups(self) -> dict[str, list[Concept]]:
        """Every word that stands for several concepts, and those concepts."""
        groups = {f"{name}s": list(category.group) for name, category in self.categories.items() if category.group}
        return groups | {"all": self.studied}

    @cached_property
    def pair_groups(self) -> dict[str, list[Pair]]:
        """Every word that stands for several ordered pairs, and those pairs; odds of two listeners are never paired."""
        kinds = [category for category in self.categories.values() if category.group]
        ordered = [pair for pair in permutations(self.studied, 2) if comparable(*pair)]
        groups = {
            "all": ordered,
            "within": [(a, b) for a, b in ordered if a.category == b.category],
            "cross": [(a, b) for a, b in ordered if a.category != b.category],
        }
        groups |= {f"{kind.name}s": list(permutations(kind.group, 2)) for kind in kinds}
        groups |= {
            f"{a.name}-{b.name}": list(product(a.group, b.group))
            for a, b in permutations(kinds, 2)
            if a.heard_by == b.heard_by
        }
        return {word: pairs for word, pairs in groups.items() if pairs}

    @property
    def across(self) -> list[str]:
        """The categories that pairs may go across, in words."""
        return [f"one of {a} and {b}" for a, b in combinations(self.categories, 2) if f"{a}-{b}" in self.pair_groups]

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        return {f"{a.name}-{b.name}": (a, b) for a, b in permutations(self.concepts.values(), 2)}

    def resolve_concepts(self, word: str) -> list[Concept]:
        """Concepts named by ``word``: one, several joined by plus or comma, or a word for several.

        Order of first mention, without repeats. UserError for a word that names none.
        """
        groups = self.concept_groups | {name: [concept] for name, concept in self.concepts.items()}
        found: dict[Concept, None] = {}
        for part in (part.strip() for part in re.split(r"[,+]", word)):
            if part not in groups:
                raise UserError(unknown("concept", part, groups))
            found.update(dict.fromkeys(groups[part]))
        return list(found)

    def resolve_pairs(self, word: str) -> list[Pair]:
        """Ordered pairs (original, desired) named by ``word``: a pair, a set, or several joined by comma or plus.

        Order of first mention, without repeats. UserError for a word that names none, and for a pair whose concepts
        are heard by different listeners.
        """
        found: dict[Pair, None] = {}
        for part in re.split(r"[,+]", word):
            found.update(dict.fromkeys(self._resolve_one(part.strip())))
        return list(found)

    def _resolve_one(self, word: str) -> Sequence[Pair]:
        if word in self.pair_groups:
            return self.pair_groups[word]
        if word not in self._pairs:
            two = f"{', '.join(self.pair_groups)}, or original-desired with two different ones of "
            raise UserError(unknown("pair", word, [*self.pair_groups, *self._pairs], two + ", ".join(self.concepts)))
        a, b = pair = self._pairs[word]
        if not comparable(a, b):
            raise UserError(
                f"pair={word}: {a.name} is heard by {a.heard_by} and {b.name} by {b.heard_by}, whose odds cannot be "
                f"compared; allowed: {', or '.join(['two concepts of one category', *self.across])}"
            )
        return [pair]


def comparable(a: Concept, b: Concept) -> bool:
    """Whether one listener hears both, so that the odds of one can be set against the other's."""
    return a.heard_by == b.heard_by


@cache
def _named(prompt_set: PromptSet, concept: Concept, n: int) -> Prompts:
    return Prompts.of([prompt.text for prompt in prompt_set.concept_prompts(concept, n)], concept.name)


def _balanced(words: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    for places in balanced([len(one) for one in words]):
        yield tuple(one[place] for one, place in zip(words, places, strict=True))
