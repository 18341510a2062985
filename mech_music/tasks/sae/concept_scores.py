"""How well single features tell the words of a prompt set: chosen on some clips, measured on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from mech_music.prompts.prompt_set import PromptSet
from mech_music.saes.concepts import auroc
from mech_music.saes.named import Corpus, Harvest

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


def labels(
    study: PromptSet, harvest: Harvest | Corpus, shuffle: int | None = None
) -> dict[Word, Bool[np.ndarray, " clip"]]:
    """Which clips' prompts have each word (of a corpus: which recordings, by its manifest, that may know none);
    ``shuffle``: prompts or recordings dealt others' words, from this seed."""
    if isinstance(harvest, Corpus):
        return _known(harvest, study, shuffle)
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


def _known(corpus: Corpus, study: PromptSet, shuffle: int | None) -> dict[Word, Bool[np.ndarray, " clip"]]:
    own, units = corpus.words(study), corpus.units
    of_unit = [own[units.index(unit)] for unit in range(max(units) + 1)]
    order = np.arange(len(of_unit)) if shuffle is None else np.random.default_rng(shuffle).permutation(len(of_unit))
    of_clip = [of_unit[order[unit]] for unit in units]
    words = sorted({(category, text) for one in own for category, text in one.items()})
    return {Word(*word): np.array([one.get(word[0]) == word[1] for one in of_clip]) for word in words}


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
        if word not in tested_labels:
            continue
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
