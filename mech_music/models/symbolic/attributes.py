"""What a piece is asked to be: the control tokens before the music, and the words of a prompt that set them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from mech_music.models.symbolic.forms import FORMS

KEYS = ("C", "D-flat", "D", "E-flat", "E", "F", "G-flat", "G", "A-flat", "A", "B-flat", "B")
"""The tonic by its pitch class."""
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "mode": ("major", "minor"),
    "key": KEYS,
    "metre": ("three-four", "four-four"),
    "density": ("sparse", "dense"),
    "register": ("low", "high"),
    "form": FORMS,
}
"""The values of each attribute, in the order of the control tokens. Token 0 of each says nothing; value v is 1 + v."""
_WHERE = {"key": "key of {}", "form": "{} form"}  # words that may mean something else elsewhere


def controls_of(values: Mapping[str, str]) -> list[int]:
    """A control token for each attribute. KeyError or ValueError for what is none."""
    unknown = set(values) - set(ATTRIBUTES)
    if unknown:
        raise KeyError(f"no attribute {sorted(unknown)[0]}")
    return [1 + words.index(values[name]) if name in values else 0 for name, words in ATTRIBUTES.items()]


def read_prompt(text: str) -> dict[str, str]:
    """The attributes that a prompt names; of two words for one attribute the first counts."""
    return {name: found[1] for name, pattern in _patterns().items() if (found := pattern.search(text))}


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    found = {}
    for name, words in ATTRIBUTES.items():
        longest = sorted(words, key=len, reverse=True)
        one_of = "(" + "|".join(map(re.escape, longest)) + ")"
        found[name] = re.compile(rf"(?<![\w-]){_WHERE.get(name, '{}').format(one_of)}(?![\w-])")
    return found
