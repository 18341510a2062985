"""The concepts of the study, the prompts that name them, and the AudioSet labels that hear them.

Template, words, concepts and labels: Vélez Vásquez, Pouw, Burgoyne, Zuidema, "Exploring the inner mechanisms
of large generative music models", ISMIR 2024.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import islice, permutations, product

from mech_music.base.errors import unknown
from mech_music.edits.row import Prompts

TEMPLATE = "Compose a {mood} {genre} piece, with a {instrument} melody. Use a {tempo} tempo."
MOODS: tuple[str, ...] = ("emotional", "passionate", "groovy", "energetic", "happy")
GENRE_FILLERS: tuple[str, ...] = ("rock", "pop", "electronic", "jazz", "classical")
INSTRUMENT_FILLERS: tuple[str, ...] = ("guitar", "piano", "trumpet", "violin", "flute")
TEMPI: tuple[str, ...] = ("fast", "medium", "slow", "slow to medium", "medium to fast")


class Category(StrEnum):
    """What a concept is a kind of."""

    instrument = "instrument"
    genre = "genre"


@dataclass(frozen=True)
class Concept:
    """One concept: `name` as typed, `text` as prompted, `labels` as AudioSet indices (the first gives the odds)."""

    name: str
    text: str
    category: Category
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Prompt:
    """One prompt and the attribute words that it was made of."""

    text: str
    mood: str
    genre: str
    instrument: str
    tempo: str


CONCEPTS: dict[str, Concept] = {
    concept.name: concept
    for concept in (
        Concept("guitar", "guitar", Category.instrument, (140, 143, 141, 142, 139)),
        Concept("piano", "piano", Category.instrument, (153, 154, 152)),
        Concept("trumpet", "trumpet", Category.instrument, (187, 185)),
        Concept("violin", "violin", Category.instrument, (191, 190, 189)),
        Concept("classical", "classical", Category.genre, (237,)),
        Concept("jazz", "jazz", Category.genre, (235, 226)),
        Concept("pop", "pop", Category.genre, (216,)),
        Concept("rock", "rock", Category.genre, (219, 224, 223, 221)),
        Concept("edm", "EDM", Category.genre, (245, 239, 241, 243, 242, 240)),
        Concept("hip-hop", "hip hop", Category.genre, (217,)),
    )
}
# Words that fill prompts without being concepts of the study.
_FILLER_LABELS: dict[str, tuple[int, ...]] = {"flute": (196,), "electronic": (239, 245, 241, 243, 242, 240)}


def make_prompt(mood: str, genre: str, instrument: str, tempo: str) -> Prompt:
    """The template filled with four attribute words."""
    words = {"mood": mood, "genre": genre, "instrument": instrument, "tempo": tempo}
    return Prompt(text=TEMPLATE.format(**words), **words)


def concept_prompts(concept: Concept, n: int) -> tuple[Prompt, ...]:
    """The first `n` prompts with the concept fixed and mood, the other category's filler, tempo varied (in that order).

    Raises ValueError if `n` is not within 1 … the number of combinations.
    """
    is_genre = concept.category is Category.genre
    fillers = INSTRUMENT_FILLERS if is_genre else GENRE_FILLERS
    maximum = len(MOODS) * len(fillers) * len(TEMPI)
    if not 1 <= n <= maximum:
        raise ValueError(f"{n} prompts asked for {concept.name!r}: allowed are 1 to {maximum}")
    combinations = islice(product(MOODS, fillers, TEMPI), n)
    if is_genre:
        return tuple(make_prompt(mood, concept.text, filler, tempo) for mood, filler, tempo in combinations)
    return tuple(make_prompt(mood, filler, concept.text, tempo) for mood, filler, tempo in combinations)


@cache
def prompts_of(concept: Concept, n: int) -> Prompts:
    """The first `n` prompts of a concept as rows and sources name them."""
    return Prompts.of([prompt.text for prompt in concept_prompts(concept, n)], concept.name)


@cache
def study_prompts() -> Prompts:
    """`every_prompt`, as a lens names what it is trained on."""
    return Prompts.of(every_prompt(), "every prompt")


def every_prompt() -> list[str]:
    """The template with every combination of words that the study uses."""
    genres = dict.fromkeys([*GENRE_FILLERS, *(c.text for c in CONCEPTS.values() if c.category is Category.genre)])
    return [make_prompt(*words).text for words in product(MOODS, genres, INSTRUMENT_FILLERS, TEMPI)]


def resolve_concepts(word: str) -> list[Concept]:
    """Concepts named by `word`: one, several joined by plus or comma, or `all`, `instruments`, `genres`.

    Order of first mention, without repeats. Raises ValueError (one line) for a word that names none.
    """
    groups = {f"{kind.value}s": [c for c in CONCEPTS.values() if c.category is kind] for kind in Category}
    groups |= {"all": list(CONCEPTS.values())} | {name: [concept] for name, concept in CONCEPTS.items()}
    found: dict[Concept, None] = {}
    for part in (part.strip() for part in re.split(r"[,+]", word)):
        if part not in groups:
            raise ValueError(unknown("concept", part, groups))
        found.update(dict.fromkeys(groups[part]))
    return list(found)


def _pair_groups() -> dict[str, list[tuple[Concept, Concept]]]:
    """Every word that stands for several ordered pairs, and those pairs."""
    ordered = list(permutations(CONCEPTS.values(), 2))

    def kinds(*allowed: tuple[Category, Category]) -> list[tuple[Concept, Concept]]:
        return [pair for pair in ordered if (pair[0].category, pair[1].category) in allowed]

    instrument, genre = Category.instrument, Category.genre
    return {
        "all": ordered,
        "within": kinds((instrument, instrument), (genre, genre)),
        "cross": kinds((instrument, genre), (genre, instrument)),
        "instruments": kinds((instrument, instrument)),
        "genres": kinds((genre, genre)),
        "instrument-genre": kinds((instrument, genre)),
        "genre-instrument": kinds((genre, instrument)),
    }


_PAIR_GROUPS = _pair_groups()
_PAIRS = {f"{a.name}-{b.name}": (a, b) for a, b in permutations(CONCEPTS.values(), 2)}


def _resolve_one(word: str) -> list[tuple[Concept, Concept]]:
    if word in _PAIR_GROUPS:
        return list(_PAIR_GROUPS[word])
    if word in _PAIRS:
        return [_PAIRS[word]]
    two = f"{', '.join(_PAIR_GROUPS)}, or original-desired with two different ones of {', '.join(CONCEPTS)}"
    raise ValueError(unknown("pair", word, [*_PAIR_GROUPS, *_PAIRS], two))


def resolve_pairs(word: str) -> list[tuple[Concept, Concept]]:
    """Ordered pairs (original, desired) named by `word`: a pair, a set, or several joined by comma or plus.

    Order of first mention, without repeats. Raises ValueError (one line) for a word that names none.
    """
    found: dict[tuple[Concept, Concept], None] = {}
    for part in re.split(r"[,+]", word):
        found.update(dict.fromkeys(_resolve_one(part.strip())))
    return list(found)


def label_of(word: str) -> tuple[int, ...]:
    """AudioSet labels of a concept (by name or text) or filler word; ValueError names the words that have some."""
    by_word = {key: concept.labels for concept in CONCEPTS.values() for key in (concept.name, concept.text)}
    by_word |= _FILLER_LABELS
    if word not in by_word:
        raise ValueError(unknown("word without an AudioSet label", word, by_word))
    return by_word[word]
