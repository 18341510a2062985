"""The lines of words: how well features tell them, beside what else could, and which of those features come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mech_music.saes.measured import SIMILAR
from mech_music.tasks.sae.concept_scores import Candidates, Record, Word, best_features
from mech_music.tasks.sae.site import SHUFFLE, Site

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers


def concept_lines(site: Site, answers: Answers) -> Iterator[dict[str, Any]]:
    """A line for each word, and again among those of its category."""
    for role, scores in _scores(site, answers):
        by_category: dict[str, int] = {}
        for index, (word, found) in enumerate(scores):
            place = by_category.setdefault(word.category, 0)
            by_category[word.category] += 1
            line = {"role": role, "repeat": 0, "prompt": f"{word.category}: {word.text}"} | found
            yield line | {"measured": "concepts", "index": index, "prompts": len(scores)}
            same = sum(other.category == word.category for other, _ in scores)
            yield line | {"measured": word.category, "index": place, "prompts": same}


def _scores(site: Site, answers: Answers) -> Iterator[tuple[str, list[tuple[Word, dict[str, float]]]]]:
    own, dealt = site.labels(), site.labels(SHUFFLE)
    records = {role: _both(site, answers, role) for role in ("sae", "random", "neuron", "pca")}
    again = _again(site, answers)
    for role, (chosen, tested) in records.items():
        candidates = Candidates(chosen, tested, own[0], own[1], signed=role in ("neuron", "pca"))
        yield role, [(word, scores | again.get(role, {}).get(word, {})) for word, scores in candidates.scores()]
    yield "shuffled", list(Candidates(*records["sae"], *dealt).scores())
    hook = Candidates(*records["neuron"], *own)
    yield "dense", list(hook.dense())
    yield "difference", list(hook.difference())


def _both(site: Site, answers: Answers, role: str) -> tuple[Record, Record]:
    chosen, tested = site.pooled(role)
    return answers.records[chosen], answers.records[tested]


def _again(site: Site, answers: Answers) -> dict[str, dict[Word, dict[str, float]]]:
    """By role (the SAEs of other seeds, a random dictionary): what is nearest to the best feature of each word."""
    chosen, tested = (answers.records[one]["mean"] for one in site.pooled("sae"))
    labels = site.labels()
    best = best_features(chosen, labels[0], tested, labels[1])
    found: dict[str, dict[Word, dict[str, float]]] = {}
    for role, overlaps in site.overlaps.items():
        cosines = np.array([answers.records[one]["cosine"] for one in overlaps])
        if len(cosines):
            found[role] = {
                one.word: {
                    "cosine": float(cosines[:, one.feature].mean()),
                    "found_again": float((cosines[:, one.feature] >= SIMILAR).mean()),
                }
                for one in best
            }
    return found
