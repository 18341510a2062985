"""How well single features tell the words of a prompt set: chosen on some clips, measured on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from mech_music.prompts.prompt_set import PromptSet
from mech_music.saes.concepts import auroc
from mech_music.saes.named import Harvest

Record = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Word:
    """A word that prompts have in one category."""

    category: str
    text: str


@dataclass(frozen=True)
class Best:
    """The feature that tells a word best on the clips that features are chosen by, and its AUROC on held-out ones."""

    word: Word
    feature: int
    chosen_by: float
    auroc: float


def labels(study: PromptSet, harvest: Harvest, shuffle: int | None = None) -> dict[Word, Bool[np.ndarray, " clip"]]:
    """Which clips' prompts have each word; ``shuffle``: prompts dealt other prompts' words, from this seed."""
    prompts = {prompt.text: prompt for prompt in study.balanced_prompts}
    texts = list(harvest.prompts.texts)
    dealt = texts if shuffle is None else [texts[i] for i in np.random.default_rng(shuffle).permutation(len(texts))]
    own = dict(zip(texts, (prompts[text] for text in dealt), strict=True))
    words = dict.fromkeys(
        Word(category, text) for prompt in prompts.values() for category, text in prompt.words.items() if text
    )
    return {
        word: np.array([own[row.prompt].words[word.category] == word.text for row in harvest.rows]) for word in words
    }


def best_features(
    chosen_by: Float[np.ndarray, "clip feature"],
    chosen_labels: Mapping[Word, np.ndarray],
    tested: Float[np.ndarray, "tested feature"],
    tested_labels: Mapping[Word, np.ndarray],
    signed: bool = False,
) -> list[Best]:
    """For each word. ``signed``: a low value may tell it as well (of neurons, whose sign says nothing)."""
    found = []
    for word, positive in chosen_labels.items():
        scores, held = auroc(chosen_by, positive), auroc(tested, tested_labels[word])
        if not (np.isfinite(scores).any() and np.isfinite(held).any()):
            continue
        turned = np.maximum(scores, 1 - scores) if signed else scores
        feature = int(np.argmax(turned))
        value = held[feature] if scores[feature] >= 0.5 or not signed else 1 - held[feature]
        found.append(Best(word, feature, float(turned[feature]), float(value)))
    return found


def components(record: Record, n: int) -> Float[np.ndarray, "width n"]:
    """The first ``n`` principal directions of vectors, or all."""
    _, vectors = np.linalg.eigh(record["covariance"].astype(float))
    return vectors[:, ::-1][:, :n]
