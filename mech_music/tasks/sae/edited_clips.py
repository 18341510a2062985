"""What is heard of edited clips beside the same prompts and seeds without the edit; NaN where either clip failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from mech_music.metrics import measures
from mech_music.metrics.concepts import kept_words, rivals
from mech_music.prompts.concepts import Category, Concept, Prompt
from mech_music.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from mech_music.edits.row import Row
    from mech_music.engine.engine import Answers

LIKELIHOOD = "likelihood"
"""The listener that `Clips.surprise` needs."""
PerClip = Float[np.ndarray, " clip"]


@dataclass(frozen=True)
class Clips:
    """Clips of one pair or concept, which ``listener`` hears, each with its prompt and its unedited version."""

    listener: str
    prompts: Sequence[Prompt]
    baselines: Sequence[Row]
    rows: Sequence[Row]
    answers: Answers

    @cached_property
    def failed(self) -> Bool[np.ndarray, " clip"]:
        """Whether either clip could not be made: what is read of it is NaN."""
        read = [self._read(rows, self.listener, "logits").sum(axis=1) for rows in (self.baselines, self.rows)]
        return ~np.isfinite(read[0] + read[1] + self.surprise())

    def logits(self, listener: str, before: bool = False) -> Float[np.ndarray, "clip label"]:
        """Those of failed clips are 0."""
        found = self._read(self.baselines if before else self.rows, listener, "logits")
        return np.where(np.isfinite(found), found, 0.0)

    def heard(self, study: PromptSet, concept: Concept) -> PerClip:
        """Whether the concept is the most probable of its category."""
        logits = self.logits(concept.heard_by)
        return measures.flipped(logits, concept.labels[0], rivals(study, concept)).astype(float)

    def flipped(self, original: Concept, desired: Concept) -> PerClip:
        """Whether one is more probable than the other."""
        logits = self.logits(desired.heard_by)
        return measures.flipped_pair(logits, original.labels[0], desired.labels[0]).astype(float)

    def effect(self, concept: Concept) -> PerClip:
        """How much its log-odds grow, nats."""
        after, before = (self.logits(concept.heard_by, before) for before in (False, True))
        return np.asarray(
            measures.log_odds(after, concept.labels[0]) - measures.log_odds(before, concept.labels[0]), dtype=float
        )

    def kept(self, category: Category | None) -> PerClip:
        """Whether the prompt's word of a category is heard; NaN without one."""
        if category is None:
            return np.full(len(self.rows), np.nan)
        return np.asarray(kept_words(category, self.prompts, self.logits(category.heard_by)), dtype=float)

    def surprise(self) -> PerClip:
        """Nats a token that the edit adds under the unedited model."""
        after, before = (self._read(rows, LIKELIHOOD, "nats") for rows in (self.rows, self.baselines))
        return after.astype(float) - before

    def measured(self, **metrics: PerClip) -> list[dict[str, Any]]:
        """By clip: each metric, NaN where the clip failed, and ``failed``."""
        return [
            {name: np.nan if failed else float(values[place]) for name, values in metrics.items()}
            | {"failed": bool(failed)}
            for place, failed in enumerate(self.failed)
        ]

    def _read(self, rows: Iterable[Row], listener: str, name: str) -> np.ndarray:
        return np.stack([self.answers.reading(row, listener)[name] for row in rows])
