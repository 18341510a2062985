"""Labellers that choose among given terms: the words of prompts, the classes of a listener.

Each term has a value on every clip. A feature is called by the term whose value tells its strongest clips best from
those in which it does not fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from mech_music.base.errors import UserError
from mech_music.labels.protocol import ClipSet, Evidence, Label
from mech_music.listeners.classes import class_names

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig


class Terms(Protocol):
    """Terms and their values."""

    def names(self, clips: ClipSet) -> Sequence[tuple[str, str]]:
        """Each term, and what it means."""
        ...

    def values(self, clips: ClipSet) -> Float[np.ndarray, "clip term"]: ...


class Vocabulary:
    """A labeller by `Terms`. Confidence is Cliff's delta between the two sets of clips, P(larger) − P(smaller), 0 at
    least; of equal terms the one whose mean differs more in its standard deviations is taken."""

    threshold: float | None = None
    judged = 0
    deals = 8
    listeners: tuple[str, ...] = ()

    def __init__(self, terms: Terms, listeners: tuple[str, ...] = ()) -> None:
        self._terms, self.listeners = terms, listeners
        self._kept: tuple[ClipSet, np.ndarray] | None = None

    def label(self, features: Sequence[Evidence], clips: ClipSet) -> list[Label]:
        """The term that tells the strongest clips best. UserError if there is no term."""
        names, values = self._terms.names(clips), self._values(clips)
        if not names:
            raise UserError("the labeller has no terms for these clips: choose another (labeller=…)")
        spread = np.nanstd(values, axis=0)
        spread[spread == 0] = np.inf
        return [_named(one, names, values, spread) for one in features]

    def applies(
        self, labels: Sequence[Label], clips: ClipSet, asked: Bool[np.ndarray, "label clip"]
    ) -> Float[np.ndarray, "label clip"]:
        """The values of the labels' terms."""
        values = self._values(clips)
        found = [values[:, one.term] if one.text else np.full(len(clips), np.nan) for one in labels]
        return np.where(asked, np.stack(found), np.nan)

    def _values(self, clips: ClipSet) -> Float[np.ndarray, "clip term"]:
        if self._kept is None or self._kept[0] is not clips:
            self._kept = clips, self._terms.values(clips)
        return self._kept[1]


def _named(
    one: Evidence, names: Sequence[tuple[str, str]], values: Float[np.ndarray, "clip term"], spread: np.ndarray
) -> Label:
    strong, other = (some[np.isfinite(some).all(axis=1)] for some in (values[one.strongest], values[one.contrast]))
    if not len(strong) or not len(other):
        return Label("", np.nan, "too few clips in which it fires, or in which it does not")
    ranks = rankdata(np.concatenate([strong, other]), axis=0)[: len(strong)].sum(axis=0)
    delta = 2 * (ranks - len(strong) * (len(strong) + 1) / 2) / (len(strong) * len(other)) - 1
    apart = (strong.mean(axis=0) - other.mean(axis=0)) / spread
    best = int(np.lexsort((-apart, -np.round(delta, 9)))[0])
    text, meaning = names[best]
    found = f"{meaning}: {strong[:, best].mean():.3g} on average in its strongest clips, {other[:, best].mean():.3g} in others"  # noqa: E501
    return Label(text, max(0.0, float(delta[best])), found, best)


# -- which terms ---------------------------------------------------------------------------------------------


class Attributes:
    """What is known of clips: the words of their prompts (the truth, where the model does as it is told), or what a
    corpus' manifest says. 1 for a clip that has a word. Words are those of the clips that labels are found on."""

    def __init__(self) -> None:
        self._known: list[tuple[str, str]] = []

    def names(self, clips: ClipSet) -> list[tuple[str, str]]:
        """In the order in which categories and words are met."""
        self._known = self._words(clips)
        return [(word, f"clips with {word} as {category}") for category, word in self._known]

    def values(self, clips: ClipSet) -> Float[np.ndarray, "clip term"]:
        """1 or 0."""
        words = self._known or self._words(clips)
        return np.array([[float(one.get(category) == word) for category, word in words] for one in clips.words])

    @staticmethod
    def _words(clips: ClipSet) -> list[tuple[str, str]]:
        return sorted({(category, word) for one in clips.words for category, word in one.items() if word})

    @classmethod
    def from_run(cls, run: RunConfig) -> Vocabulary:
        """Of the run's prompt set."""
        return Vocabulary(cls())


class Classes:
    """The classes of a listener by its logits; AudioSet's are those of music, which have names here."""

    def __init__(self, listener: str) -> None:
        self._listener, names = listener, class_names(listener)
        self._columns = [column for column, name in enumerate(names) if not name.startswith("class ")]
        self._names = [(names[column], f"{listener}'s logit of '{names[column]}'") for column in self._columns]

    def names(self, clips: ClipSet) -> list[tuple[str, str]]:
        """In the listener's order."""
        return self._names

    def values(self, clips: ClipSet) -> Float[np.ndarray, "clip term"]:
        """Logits."""
        return clips.reading(self._listener, "logits")[:, self._columns].astype(float)

    @classmethod
    def from_run(cls, run: RunConfig, listener: str) -> Vocabulary:
        """By any listener that hears classes. UserError for one that does not."""
        return Vocabulary(cls(listener), (listener,))


class Similarities:
    """Texts, by their similarity to a clip's sound: cosines of a listener with a text encoder, such as CLAP's."""

    def __init__(self, listener: str, encoder: Encoder, texts: Sequence[str], template: str) -> None:
        self._listener, self._encoder, self._texts, self._template = listener, encoder, list(texts), template

    def names(self, clips: ClipSet) -> list[tuple[str, str]]:
        """As they are given."""
        return [(text, f"cosine to '{self._template.format(text)}'") for text in self._texts]

    def values(self, clips: ClipSet) -> Float[np.ndarray, "clip term"]:
        """Cosines."""
        written = self._encoder.encode([self._template.format(text) for text in self._texts])
        return clips.reading(self._listener, "embedding").astype(float) @ written.T

    @classmethod
    def from_run(cls, run: RunConfig, listener: str, template: str, texts: list[str] | None) -> Vocabulary:
        """``texts``: null for the words of the prompt set and AudioSet's names of music."""
        if "{}" not in template:
            raise UserError(
                f"labeller.template='{template}': expected a text with {{}} in it, such as 'music with {{}}'"
            )
        return Vocabulary(cls(listener, encoder_of(listener, run), texts or _known_texts(run), template), (listener,))


class Encoder(Protocol):
    """A listener's text side: vectors of length 1 in the space of its ``embedding``."""

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "text channel"]: ...


def encoder_of(listener: str, run: RunConfig) -> Encoder:
    """UserError for a listener that has none."""
    from mech_music.listeners.registry import open_listener

    found = open_listener(listener, run)
    if not hasattr(found, "encode"):
        raise UserError(f"listener '{listener}' has no text encoder (encode()): use clap, or one of its kind")
    return found  # pyright: ignore[reportReturnType]


def _known_texts(run: RunConfig) -> list[str]:
    words = [word for prompt in run.study.balanced_prompts for word in prompt.words.values() if word]
    classes = [name for name in class_names("classifier") if not name.startswith("class ")]
    return list(dict.fromkeys([*words, *classes]))
