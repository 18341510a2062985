"""The forms of planted pieces: four sections, of which later ones may be earlier ones again."""

from __future__ import annotations

from itertools import product

N_SECTIONS = 4


def _letters() -> tuple[str, ...]:
    """Every way in which four sections can be alike: AAAA, AAAB, …, ABCD; a new letter is the next of the alphabet."""
    every = ("".join("ABCD"[n] for n in numbers) for numbers in product(range(N_SECTIONS), repeat=N_SECTIONS))
    return tuple(one for one in every if all(ord(c) - ord("A") <= len(set(one[:at])) for at, c in enumerate(one)))


TOLD = _letters()
"""A form that the prompt names: sections of one letter are the same, or transposed."""
FREE, CUED = "free", "cued"
"""A form that nothing announces, and one whose returns follow an open cadence."""
FORMS = (FREE, CUED, *TOLD)
