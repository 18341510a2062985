"""Every combination of words, in an order whose beginnings are balanced."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import gcd, prod
from random import Random

_WINDOW = 512
"""Combinations that are compared before one is taken."""


def balanced(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """All combinations of so many words a place, ordered so that any first n have each word about equally often.

    Counts of a place's words differ by at most one where all sizes are equal, else by at most two. The digits of a
    running number, each turned on by the lower ones: as in a Latin square, where every row and column has each word
    once. Where digits would turn together (several places of two words), so that over many prompts two words always
    come together, combinations are taken one by one, so that any two words do about equally often. Sizes of 1 are
    allowed; ValueError for one below.
    """
    if min(sizes, default=1) < 1:
        raise ValueError(f"a place needs at least one word, not {list(sizes)}")
    places = sorted(range(len(sizes)), key=lambda place: -sizes[place])  # the longest list turns fastest
    radix = [sizes[place] for place in places]
    found = []
    for number in range(prod(radix)):
        digits = []
        for size in radix:
            number, digit = divmod(number, size)
            digits.append(digit)
        words = [0] * len(sizes)
        for rank, (place, size) in enumerate(zip(places, radix, strict=True)):
            turned = _turn(rank, size) * digits[0] + sum(digits[1:rank]) if rank else 0
            words[place] = (digits[rank] + turned) % size
        found.append(tuple(words))
    return _one_by_one(found, sizes) if _turn_together(radix) else found


def _turn_together(radix: Sequence[int]) -> bool:
    """Whether two places' words follow each other for as long as the slower digit stands still."""
    turns = [(size, _turn(rank, size)) for rank, size in enumerate(radix) if rank and size > 1]
    pairs = ((gcd(one, other), turn - turned) for (one, turn), (other, turned) in combinations(turns, 2))
    return any(shared > 1 and differ % shared == 0 for shared, differ in pairs)


def _one_by_one(found: Sequence[tuple[int, ...]], sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Next comes the combination whose words, then whose pairs of words, came least often; of equals, a fixed one."""
    import numpy as np  # not needed by prompts that are turned

    mixed = list(found)
    Random(0).shuffle(mixed)
    words, places = np.array(mixed), range(len(sizes))
    pairs = list(combinations(places, 2))
    columns = [words[:, place] for place in places] + [words[:, a] * sizes[b] + words[:, b] for a, b in pairs]
    lengths = [*sizes, *(sizes[a] * sizes[b] for a, b in pairs)]
    counts = [np.zeros(length) for length in lengths]
    left, order = np.arange(len(mixed)), []
    while len(left):
        some = left[:_WINDOW]
        came = [count[column[some]] for count, column in zip(counts, columns, strict=True)]
        ahead = np.max([came[place] - counts[place].min() for place in places], axis=0)
        weighed = np.array([often * length for often, length in zip(came, lengths, strict=True)])
        alone, together = weighed[: len(places)].sum(0), weighed[len(places) :].sum(0)
        at = int(np.lexsort((together, alone, ahead))[0])
        for count, column in zip(counts, columns, strict=True):
            count[column[some[at]]] += 1
        order.append(mixed[some[at]])
        left = np.delete(left, at)
    return order


def _turn(rank: int, size: int) -> int:
    """How far a step of the fastest digit turns this one: another number for each, and all words are reached."""
    coprime = [turn for turn in range(1, size + 1) if gcd(turn, size) == 1]
    return coprime[(rank - 1) % len(coprime)]
