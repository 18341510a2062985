"""Labels of one layer's features, and how well they say where these fire on held-out clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from mech_music.base.errors import UserError
from mech_music.labels.evidence import LabelConfig, evidence, fires, labelled, whole
from mech_music.labels.protocol import ClipSet, Label, Labeller
from mech_music.labels.scoring import Score, best_threshold, dealt, resampled, score
from mech_music.labels.vocabulary import Encoder

Record = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Statistics:
    """Of intervals."""

    resamples: int
    level: float
    seed: int


@dataclass(frozen=True)
class Labelled:
    """A feature, its label, and its score beside those of the labels that it was ``dealt``."""

    feature: int
    label: Label
    score: Score
    dealt: tuple[tuple[Label, Score], ...]
    similarity: float = np.nan
    dealt_similarity: float = np.nan

    @property
    def control(self) -> float:
        """The mean AUROC of dealt labels; NaN without any."""
        found = [one.auroc for _, one in self.dealt if np.isfinite(one.auroc)]
        return float(np.mean(found)) if found else np.nan


@dataclass(frozen=True)
class Side:
    """Clips with what features do in them: ``clips`` those that did not fail."""

    clips: ClipSet
    record: Record
    fired: Bool[np.ndarray, "clip feature"]

    @classmethod
    def of(cls, clips: ClipSet, record: Record, config: LabelConfig) -> Side:
        """Without the clips that failed."""
        return cls(clips.some(whole(record).tolist()), record, fires(record, config.share))


def label_features(
    labeller: Labeller, found_on: Side, held_out: Side, config: LabelConfig, statistics: Statistics
) -> list[Labelled]:
    """UserError if no feature fires in as many clips as the rule says."""
    features = labelled(found_on.fired, config)
    if not features:
        low, high = config.kept
        raise UserError(
            f"no feature fires in {low:.0%} to {high:.0%} of {len(found_on.fired)} clips (in more than "
            f"{config.share:.0%} of their steps): change labels.tracks or labels.share"
        )
    given = [evidence(found_on.record, found_on.fired, feature, config) for feature in features]
    labels = labeller.label(given, found_on.clips)
    asked = _asked(labeller, held_out, features, config.seed)
    weights = resampled(np.array(held_out.clips.units), statistics.resamples, statistics.seed)
    own = _scores(labeller, labels, found_on, held_out, features, asked, (weights, statistics.level))
    others: list[list[tuple[Label, Score]]] = [[] for _ in features]
    for order in dealt(len(features), labeller.deals, config.seed):
        given_labels = [labels[place] for place in order]
        scores = _scores(labeller, given_labels, found_on, held_out, features, asked)
        for place, one in enumerate(zip(given_labels, scores, strict=True)):
            others[place].append(one)
    return [
        Labelled(feature, labels[place], own[place], tuple(others[place])) for place, feature in enumerate(features)
    ]


def _scores(
    labeller: Labeller,
    labels: Sequence[Label],
    found_on: Side,
    held_out: Side,
    features: Sequence[int],
    asked: Bool[np.ndarray, "label clip"],
    intervals: tuple[Float[np.ndarray, "resample clip"], float] | None = None,
) -> list[Score]:
    applies = labeller.applies(labels, held_out.clips, asked)
    if (threshold := labeller.threshold) is None:
        every = np.ones((len(labels), len(found_on.clips)), dtype=bool)
        before = labeller.applies(labels, found_on.clips, every)
        thresholds = [best_threshold(one, found_on.fired[:, f]) for one, f in zip(before, features, strict=True)]
    else:
        thresholds = [threshold] * len(labels)
    weights, level = (None, 0.95) if intervals is None else intervals
    return [
        score(applies[place], held_out.fired[:, feature], thresholds[place], weights, level)
        for place, feature in enumerate(features)
    ]


def _asked(labeller: Labeller, held_out: Side, features: Sequence[int], seed: int) -> Bool[np.ndarray, "label clip"]:
    """All clips; or ``judged`` of them, half of them where the feature fires, as far as there are so many."""
    n = len(held_out.clips)
    if not labeller.judged:
        return np.ones((len(features), n), dtype=bool)
    found = np.zeros((len(features), n), dtype=bool)
    for place, feature in enumerate(features):
        order = np.random.default_rng([seed, feature, 1]).permutation(n)
        fired = held_out.fired[order, feature]
        half = labeller.judged // 2
        found[place, np.concatenate([order[fired][:half], order[~fired][:half]])] = True
    return found


def with_similarities(
    found: Sequence[Labelled], held_out: Side, config: LabelConfig, listener: str, encoder: Encoder
) -> list[Labelled]:
    """With the cosine of each label's text and the mean sound of the feature's strongest held-out clips."""
    heard = held_out.clips.reading(listener, "embedding").astype(float)
    texts = list(dict.fromkeys(one.label.text for one in found if one.label.text))
    written = dict(zip(texts, encoder.encode(texts).astype(float), strict=True)) if texts else {}
    result = []
    for one in found:
        strongest = evidence(held_out.record, held_out.fired, one.feature, config).strongest
        sound = heard[strongest]
        near = [
            float((sound @ written[label.text]).mean()) if label.text and len(sound) else np.nan
            for label in (one.label, *(label for label, _ in one.dealt[:1]))
        ]
        result.append(Labelled(one.feature, one.label, one.score, one.dealt, *near))
    return result
