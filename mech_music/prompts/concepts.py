"""What a prompt set is made of: concepts, the categories that they belong to, and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Concept:
    """One concept: `name` as typed, `text` as prompted, `labels` as indices of the classes of the listener that hears
    it (the first gives the odds)."""

    name: str
    text: str
    category: str
    labels: tuple[int, ...]
    heard_by: str = "classifier"


@dataclass(frozen=True)
class Category:
    """What a concept is a kind of, such as instrument.

    words: what prompts about other categories' concepts have in its place, in this order. group: the concepts that
    ``<name>s`` stands for. heard_by: the listener that hears all its concepts.
    """

    name: str
    words: tuple[str, ...]
    concepts: tuple[Concept, ...]
    group: tuple[Concept, ...]
    heard_by: str

    def labels_of(self, word: str) -> tuple[int, ...]:
        """The labels of a word of a prompt; none if it is no concept."""
        return next((concept.labels for concept in self.concepts if concept.text == word), ())


@dataclass(frozen=True)
class Prompt:
    """One prompt and the word that it has of each category."""

    text: str
    words: Mapping[str, str] = field(hash=False)
