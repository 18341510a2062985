"""Every combination of words, in an order whose beginnings are balanced."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod


def balanced(sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """All combinations of so many words a place, ordered so that any first n have each word about equally often.

    Counts of a place's words differ by at most one where all sizes are equal, else by at most two. The digits of a
    running number, each turned on by the lower ones: as in a Latin square, where every row and column has each word
    once. Sizes of 1 are allowed; ValueError for one below.
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
    return found


def _turn(rank: int, size: int) -> int:
    """How far a step of the fastest digit turns this one: another number for each, and all words are reached."""
    coprime = [turn for turn in range(1, size + 1) if gcd(turn, size) == 1]
    return coprime[(rank - 1) % len(coprime)]
