"""How well features tell the words of a prompt set, chosen on some clips and measured on others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from mech_music.prompts.prompt_set import PromptSet
from mech_music.saes.concepts import aurocs
from mech_music.saes.named import Corpus, Harvest
from mech_music.saes.probing import SIZES, Probing

Record = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Word:
    """A word that prompts have in one category."""

    category: str
    text: str


Labels = Mapping[Word, Bool[np.ndarray, " clip"]]


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
    own, units = corpus.words(study), np.array(corpus.units)
    of_clip = own
    if shuffle is not None:  # each recording has another's words, clip by clip as far as that one goes
        places = [np.flatnonzero(units == unit) for unit in range(max(units) + 1)]
        order = np.random.default_rng(shuffle).permutation(len(places))
        dealt = [places[order[unit]] for unit in units]
        at = [int((units[:clip] == unit).sum()) for clip, unit in enumerate(units)]
        of_clip = [own[theirs[place % len(theirs)]] for theirs, place in zip(dealt, at, strict=True)]
    words = sorted({(category, text) for one in own for category, text in one.items()})
    return {Word(*word): np.array([one.get(word[0]) == word[1] for one in of_clip]) for word in words}


def best_features(
    chosen_by: Float[np.ndarray, "clip feature"],
    chosen_labels: Labels,
    tested: Float[np.ndarray, "tested feature"],
    tested_labels: Labels,
    signed: bool = False,
) -> list[Best]:
    """For each word. ``signed``: a low value may tell it as well (of neurons, whose sign says nothing)."""
    if not chosen_labels:
        return []
    here = aurocs(chosen_by, np.stack(list(chosen_labels.values())))
    there = aurocs(tested, np.stack([tested_labels[word] for word in chosen_labels]))
    found = []
    for word, scores, held in zip(chosen_labels, here, there, strict=True):
        if not (np.isfinite(scores).any() and np.isfinite(held).any()):
            continue
        turned = np.maximum(scores, 1 - scores) if signed else scores
        feature = int(np.argmax(turned))
        value = held[feature] if scores[feature] >= 0.5 or not signed else 1 - held[feature]
        found.append(Best(word, feature, float(turned[feature]), float(value)))
    return found


@dataclass(frozen=True)
class Candidates:
    """What may tell words: each feature in each pooling (`mech_music.saes.pooling`), on both sets of clips."""

    chosen: Record
    tested: Record
    chosen_labels: Labels
    tested_labels: Labels
    signed: bool = False

    @cached_property
    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """All poolings beside each other, on the clips that features are chosen by and on those held out."""
        names = list(self.chosen)
        here, there = (np.concatenate([record[name] for name in names], 1) for record in (self.chosen, self.tested))
        return here, there

    def named(self, column: int) -> tuple[str, int]:
        """The pooling and the feature of a column."""
        n = next(iter(self.chosen.values())).shape[1]
        return list(self.chosen)[column // n], column % n

    @property
    def by_mean(self) -> list[Best]:
        """The best features by what they are on average in a clip."""
        both = self.chosen["mean"], self.chosen_labels, self.tested["mean"], self.tested_labels
        return best_features(*both, self.signed)

    @property
    def by_any(self) -> list[Best]:
        """The best features in the pooling that is best for the word; ``feature`` is a column."""
        return best_features(self.columns[0], self.chosen_labels, self.columns[1], self.tested_labels, self.signed)

    def scores(self) -> Iterator[tuple[Word, dict[str, float]]]:
        """For each word: the best feature, and sparse probes; by clip means, and with every pooling (``…_pooled``)."""
        plain, whole = Probing(self.chosen["mean"], self.tested["mean"]), Probing(*self.columns)
        for mean, pooled in zip(self.by_mean, self.by_any, strict=True):
            found, word = {"auroc": mean.auroc, "auroc_pooled": pooled.auroc}, mean.word
            both = self.chosen_labels[word], self.tested_labels[word]
            for probing, ending in ((plain, ""), (whole, "_pooled")):
                fitted = probing.sparse(*both, SIZES)
                found |= {f"probe_{size}{ending}": fitted[size][1] for size in SIZES}
            yield word, found

    def dense(self) -> Iterator[tuple[Word, dict[str, float]]]:
        """For each word, a probe of every column."""
        plain, whole = Probing(self.chosen["mean"], self.tested["mean"]), Probing(*self.columns)
        for word, own in self.chosen_labels.items():
            both = own, self.tested_labels[word]
            yield word, {"auroc": plain.dense(*both), "auroc_pooled": whole.dense(*both)}

    def difference(self) -> Iterator[tuple[Word, dict[str, float]]]:
        """For each word, the difference of means; pooled in the way that tells the clips best that it is made of."""
        probings = {name: Probing(self.chosen[name], self.tested[name]) for name in self.chosen}
        for word, own in self.chosen_labels.items():
            each = {name: one.difference(own, self.tested_labels[word]) for name, one in probings.items()}
            best = max(each.values(), key=lambda pair: np.nan_to_num(pair[0]))
            yield word, {"auroc": each["mean"][1], "auroc_pooled": best[1]}
