"""What is heard of concepts: who the others of a category are, and whether the word that should stay is heard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mech_music.metrics.measures import group_argmax
from mech_music.prompts.concepts import Category, Concept, Prompt
from mech_music.prompts.prompt_set import PromptSet


def rivals(study: PromptSet, desired: Concept) -> list[int]:
    """The first labels of the other concepts of its category, but for those that are relevant to it."""
    category = study.categories[desired.category]
    return [one.labels[0] for one in category.concepts if one.labels[0] not in desired.labels]


def kept_category(study: PromptSet, original: Concept, desired: Concept) -> Category | None:
    """The category whose word should stay: the genre, when instruments are swapped. A pair across categories edits
    both, so there is none."""
    return study.kept_beside(original) if original.category == desired.category else None


def kept_words(
    kept: Category, prompts: Sequence[Prompt], scores: Float[np.ndarray, "clip label"]
) -> Float[np.ndarray, " clip"]:
    """Whether the prompt's word of the category that should stay is heard; NaN where that word is no concept.

    The category's most probable word must be the prompt's own or one that is relevant to it (EDM is electronic).
    """
    words = [*kept.words, *(concept.text for concept in kept.concepts)]
    group = list(dict.fromkeys(labels[0] for word in words if (labels := kept.labels_of(word))))
    heard = group_argmax(scores, group)
    own = [kept.labels_of(prompt.words[kept.name]) for prompt in prompts]
    return np.array(
        [label in labels if labels else np.nan for label, labels in zip(heard, own, strict=True)], dtype=float
    )
