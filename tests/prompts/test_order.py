"""The balanced order of prompts: any first ones have each word, and each two words together, about equally often."""

from __future__ import annotations

from itertools import combinations, product
from math import prod

import numpy as np
import pytest

from mech_music.prompts.declared import load_prompt_set
from mech_music.prompts.order import balanced


def spread(found: list[tuple[int, ...]], places: tuple[int, ...], sizes: tuple[int, ...]) -> int:
    """The greatest difference between the counts of two words (or combinations of words) at some places."""
    counts = np.zeros([sizes[place] for place in places])
    for one in found:
        counts[tuple(one[place] for place in places)] += 1
    return int(counts.max() - counts.min())


@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ((5, 5, 5), 1),
        ((4, 4, 4), 1),
        ((5, 6, 5), 2),
        ((5, 4, 5), 2),
        ((3, 7, 2), 1),
        ((1, 3), 1),
        ((2, 12, 2, 2, 2, 2), 2),
        ((2, 2, 3), 2),
        ((4, 3, 4, 2, 2), 2),
    ],
)
def test_any_first_ones_have_each_word_about_equally_often(sizes: tuple[int, ...], most: int) -> None:
    found = balanced(sizes)
    assert sorted(found) == sorted(product(*map(range, sizes))), "every combination once"
    for n in range(1, prod(sizes) + 1):
        assert max(spread(found[:n], (place,), sizes) for place in range(len(sizes))) <= most, n


def test_a_square_of_prompts_has_every_two_words_together_once() -> None:
    """Else a mood would always come with the same genre, and the effect of one could be the other's."""
    found = balanced((5, 5, 5))
    for places in combinations(range(3), 2):
        assert spread(found[:25], places, (5, 5, 5)) == 0


@pytest.mark.parametrize("sizes", [(2, 12, 2, 2, 2, 2), (2, 2, 3, 2), (4, 4, 4, 2, 2), (3, 3, 3, 3), (2,) * 7])
def test_no_two_words_of_any_first_prompts_always_come_together(sizes: tuple[int, ...]) -> None:
    """Else a feature of one word, chosen on the first prompts, would be taken for one of the other."""
    found = np.array(balanced(sizes))
    for n in range(24, len(found), 5):
        for one, other in combinations([place for place, size in enumerate(sizes) if size < 12], 2):
            table = np.zeros((sizes[one], sizes[other]))
            np.add.at(table, (found[:n, one], found[:n, other]), 1 / n)
            apart = np.abs(table - table.sum(1, keepdims=True) * table.sum(0, keepdims=True)).max()
            assert apart < 0.1, (n, one, other)


def test_prompts_of_a_concept() -> None:
    study = load_prompt_set()
    for concept in (study.concepts["piano"], study.concepts["slow"]):
        found, plain = study.concept_prompts(concept, 125, in_balance=True), study.concept_prompts(concept, 125)
        assert {prompt.text for prompt in found} == {prompt.text for prompt in plain}
        assert [prompt.text for prompt in found[:2]] != [prompt.text for prompt in plain[:2]]


def test_a_place_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        balanced((3, 0))
