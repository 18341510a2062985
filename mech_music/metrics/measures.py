"""What an edit did to a clip, measured on the classifier's view of it.

The measures of Vélez Vásquez, Pouw, Burgoyne, Zuidema, "Exploring the inner mechanisms of large generative
music models" (ISMIR 2024, section 3), as pure functions on NumPy arrays, vectorised over clips.

Every ``scores`` array is ``[*clip, label]`` and holds *logits or log-probabilities*, whichever is at
hand: nothing here changes when a constant is added to all scores of a clip. Never hand in probabilities:
near 0 and 1 they have already lost what the odds are made of. All sums are float64 and in nats, and every
result is finite for finite scores. Wrong shapes, labels and values raise ValueError in one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from mech_music.metrics.metric import Metric

Scores: TypeAlias = Float[np.ndarray, "*clip label"]
# A float where there is one clip and no clip axis.
PerClip: TypeAlias = Float64[np.ndarray, "*clip"] | np.float64


EFFECTIVENESS = Metric(
    "effectiveness",
    "nats",
    "how far the clip moved from original to desired (equation 1): the difference of the two log-odds",
    also="log-odds",
    note="up: nearer to desired",
)
PRECISION = Metric(
    "precision",
    "nats",
    "−KL(after ‖ before) over all labels: 0 if nothing else moved",
    also="inverse KL",
    note="0: no other label moved",
)
IDEAL_PRECISION = Metric(
    "ideal_precision",
    "nats",
    "the precision if only the two concepts traded probabilities",
    "ideal precision (pure swap)",
)
NDCG = Metric("ndcg", "", "NDCG of the concept's labels", "NDCG of its labels")
FLIPPED = Metric("flipped", "", "1 if desired is the most probable of its category after the edit, else 0", share=True)
FLIPPED_PAIR = Metric(
    "flipped_pair", "", "1 if desired is more probable than original after the edit, else 0", share=True
)


class WithReadings(Protocol):
    """Clips without and with an edit, as listeners read them: arrays by listener and name."""

    @property
    def readings(self) -> Mapping[str, tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]: ...


class Effectiveness(NamedTuple):
    """Equation 1 and its two parts, nats: ``total = original + desired``."""

    total: PerClip
    original: PerClip
    desired: PerClip


def validate(scores: Scores, *labels: int, other: Scores | None = None) -> None:
    """ValueError, in one line, if ``scores``, its partner ``other`` or a label cannot be measured."""
    for array in (scores,) if other is None else (scores, other):
        if array.ndim < 1 or array.shape[-1] < 2:
            raise ValueError(f"scores must be [*clip, label], at least two labels, not {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError("scores hold NaN or infinity: hand in finite logits, leave failed clips out")
    if other is not None and scores.shape != other.shape:
        raise ValueError(f"scores before and after must have one shape, not {scores.shape} and {other.shape}")
    wrong = [label for label in labels if not 0 <= label < scores.shape[-1]]
    if wrong:
        raise ValueError(f"label {wrong[0]} is out of range: there are {scores.shape[-1]}, counted from 0")


def log_softmax(scores: Scores) -> Float64[np.ndarray, "*clip label"]:
    """``log p_k = s_k − log Σ_j exp s_j``, in float64. Log-probabilities come back as they are."""
    wide = np.asarray(scores, dtype=np.float64)
    return wide - _log_sum_exp(wide)


def _log_sum_exp(scores: Float64[np.ndarray, "*clip label"]) -> Float64[np.ndarray, "*clip 1"]:
    highest = scores.max(axis=-1, keepdims=True)
    return highest + np.log(np.exp(scores - highest).sum(axis=-1, keepdims=True))


def log_odds(scores: Scores, label: int) -> PerClip:
    """``log odds_k = log p_k − log(1 − p_k)``, nats.

    Taken as ``s_k − log Σ_{j≠k} exp s_j``, which is the same and never forms ``1 − p``: it stays exact where
    ``p`` rounds to 1.
    """
    validate(scores, label)
    wide = np.asarray(scores, dtype=np.float64)
    return wide[..., label] - _log_sum_exp(np.delete(wide, label, axis=-1))[..., 0]


def effectiveness(before: Scores, after: Scores, original_label: int, desired_label: int) -> Effectiveness:
    """How far the clip moved from the original concept to the desired one, nats (equation 1)::

        log [odds(o | before) / odds(o | after)]  −  log [odds(d | before) / odds(d | after)]
        └─────────── original part ───────────┘      └─ desired part, with its sign ──────┘

    Both parts are positive when the edit works: the original concept is heard less, the desired one more.
    """
    validate(before, original_label, desired_label, other=after)
    original = log_odds(before, original_label) - log_odds(after, original_label)
    desired = log_odds(after, desired_label) - log_odds(before, desired_label)
    return Effectiveness(original + desired, original, desired)


def precision(before: Scores, after: Scores) -> PerClip:
    """``−KL(after ‖ before) = −Σ_k p_k(after) · log [p_k(after) / p_k(before)]``, nats: 0 at best.

    The direction is that of the code published with the paper.
    """
    validate(before, other=after)
    log_before, log_after = log_softmax(before), log_softmax(after)
    return (np.exp(log_after) * (log_before - log_after)).sum(axis=-1)


def ideal_precision(before: Scores, original_label: int, desired_label: int) -> PerClip:
    """The precision of the perfect swap, nats: the two concepts trade probabilities and nothing else moves.

    There ``−KL(swapped ‖ before) = −(p_d − p_o) · (log p_d − log p_o)``, and the direction does not matter.
    """
    validate(before, original_label, desired_label)
    logs = log_softmax(before)
    original, desired = logs[..., original_label], logs[..., desired_label]
    return (np.exp(desired) - np.exp(original)) * (original - desired)


def ndcg(scores: Scores, relevant_labels: Sequence[int]) -> PerClip:
    """Normalised discounted cumulative gain over all labels: relevance 1 for ``relevant_labels``, else 0.

    ``Σ_{k relevant} 1/log2(1 + rank_k)`` over its greatest possible value, so 0 < NDCG ≤ 1. Labels of one
    score share the mean discount of the ranks they fill (McSherry & Najork, ECIR 2008), as in scikit-learn.
    """
    relevant = sorted(set(relevant_labels))
    validate(scores, *relevant)
    if not relevant:
        raise ValueError("NDCG needs at least one relevant label")
    discounts = 1.0 / np.log2(np.arange(scores.shape[-1]) + 2.0)
    # Entry r sums the first r discounts, so a tie over ranks [a, b) has mean (S[b] − S[a]) / (b − a).
    summed = np.concatenate([[0.0], np.cumsum(discounts)])
    gain = np.zeros(scores.shape[:-1])
    for label in relevant:
        own = scores[..., label, None]
        first = (scores > own).sum(axis=-1)
        end = first + (scores == own).sum(axis=-1)
        gain = gain + (summed[end] - summed[first]) / (end - first)
    return gain / summed[len(relevant)]


def probability(scores: Scores, label: int) -> PerClip:
    """Softmax probability of one label."""
    validate(scores, label)
    return np.exp(log_softmax(scores)[..., label])


def flipped(after: Scores, desired_label: int, category_labels: Sequence[int]) -> Bool[np.ndarray, "*clip"]:
    """Whether the desired concept is now the most probable of its whole category."""
    return group_argmax(after, [desired_label, *category_labels]) == desired_label


def flipped_pair(after: Scores, original_label: int, desired_label: int) -> Bool[np.ndarray, "*clip"]:
    """Whether the desired concept is now more probable than the original one: where a third is the most, too."""
    validate(after, original_label, desired_label)
    return np.asarray(after[..., desired_label] > after[..., original_label])


def group_argmax(scores: Scores, group_labels: Sequence[int]) -> Int[np.ndarray, "*clip"]:
    """Which label of a group is the most probable (its AudioSet index); the first of equals."""
    validate(scores, *group_labels)
    if not group_labels:
        raise ValueError("the arg-max of a group needs at least one label")
    return np.asarray(group_labels)[scores[..., list(group_labels)].argmax(axis=-1)]


def surprise(heard: WithReadings) -> Float64[np.ndarray, " clip"]:
    """Nats a token that an edit adds to −log p of the clip's own tokens under the unedited model: the price of it."""
    before, after = heard.readings["likelihood"]
    return np.asarray(after["nats"], dtype=np.float64) - before["nats"]


def reliability(shifts: Float[np.ndarray, "context ..."]) -> float:
    """How much of a mean shift's square is the same in every context: 1 − (its squared standard error) / (its square).

    ``shifts``: the shift in each context apart, whose mean edits are made of. 1: all agree; about 0: as far apart as
    if there were nothing but noise (it may fall below). It is what split halves tell, with as many parts as there are
    contexts. NaN for one context, and where nothing is shifted.
    """
    n, mean = len(shifts), shifts.mean(axis=0, dtype=np.float64)
    square = float((mean**2).sum())
    if n < 2 or square == 0.0:
        return float("nan")
    return 1.0 - float(((shifts - mean) ** 2).sum()) / (n * (n - 1)) / square
