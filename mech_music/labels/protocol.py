"""What a labeller is: a feature's strongest clips and some in which it does not fire in, a label out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from mech_music.edits.row import Row

if TYPE_CHECKING:
    from mech_music.engine.answers import Answers


@dataclass(frozen=True)
class Label:
    """What a feature is called. ``confidence``: 0 to 1, NaN with an empty ``text``: it could not be labelled.

    ``term``: of a labeller that chooses among given terms, which one it is.
    """

    text: str
    confidence: float
    description: str = ""
    term: int = -1


@dataclass(frozen=True)
class Evidence:
    """A feature, by clips (their places among those that it is looked for in), the strongest first."""

    feature: int
    strongest: Int[np.ndarray, " clip"]
    contrast: Int[np.ndarray, " clip"]


@dataclass(frozen=True)
class ClipSet:
    """Clips as labellers may have them: by their prompts, by what is known of each (``words``, by category), by what
    listeners read, as sound. ``units``: which prompt or recording each is of."""

    rows: Sequence[Row]
    answers: Answers = field(repr=False)
    words: Sequence[Mapping[str, str]] = field(default=(), repr=False)
    units: Sequence[int] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, places: Sequence[int]) -> ClipSet:
        """Some of them."""
        words, units = ([each[place] for place in places] if each else () for each in (self.words, self.units))
        return ClipSet([self.rows[place] for place in places], self.answers, words, units)  # pyright: ignore

    def reading(self, listener: str, name: str) -> Float[np.ndarray, "clip ..."]:
        """One array of a listener for every clip; NaN where a clip failed."""
        return np.stack([self.answers.reading(row, listener)[name] for row in self.rows])

    def sound(self, places: Sequence[int]) -> tuple[Float32[np.ndarray, "clip sample"], int]:
        """Some of the clips, and their sample rate; made where they are not there yet."""
        return self.answers.sound([self.rows[place] for place in places])


class Labeller(Protocol):
    """``listeners``: who has to hear the clips first. ``threshold``: the value of `applies` from which on a label is
    said to apply; None for the one that says best where the feature fires on the clips that labels are found on.
    ``judged``: held-out clips that a label is tried on, half of them where the feature fires; 0 for all. ``deals``: how
    often labels are dealt to other features, for the control.

    Made by a class method ``from_run(run, **settings)``; ``settings``: the other keys of its YAML.
    """

    listeners: tuple[str, ...]
    threshold: float | None
    judged: int
    deals: int

    def label(self, features: Sequence[Evidence], clips: ClipSet) -> list[Label]:
        """A label for each feature."""
        ...

    def applies(
        self, labels: Sequence[Label], clips: ClipSet, asked: Bool[np.ndarray, "label clip"]
    ) -> Float[np.ndarray, "label clip"]:
        """How much each label applies to each clip that is asked for; NaN for others."""
        ...
