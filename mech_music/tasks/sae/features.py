"""The table of features: how often each fires, by rules that are part of the result, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mech_music.saes.concepts import auroc
from mech_music.tasks.sae.concept_scores import Record, Word

RULES: dict[str, float] = {"fires_at_all": 0.0, "fires_in_5_percent": 0.05}
"""A clip counts where the feature fires in more than this share of its steps."""
VIABLE = (0.01, 0.25)
"""Features that fire in this share of clips are kept (Singh et al.); the rule says what firing is."""


def feature_table(
    layer: int,
    hook: str,
    chosen: Record,
    tested: Record,
    chosen_labels: Mapping[Word, np.ndarray],
    tested_labels: Mapping[Word, np.ndarray],
) -> pd.DataFrame:
    """A line for each feature. Shares of held-out clips by each rule, whether that is viable, the word that it tells
    best on the clips that it is chosen by with the AUROC on held-out ones, and its largest activation on the former."""
    rates = {rule: np.nanmean(tested["share"] > least, axis=0) for rule, least in RULES.items()}
    viable = {f"viable_{rule}": (VIABLE[0] <= rate) & (rate <= VIABLE[1]) for rule, rate in rates.items()}
    words, best, scores = _told_best(chosen, tested, chosen_labels, tested_labels)
    return pd.DataFrame(
        {
            "layer": layer,
            "hook": hook,
            "feature": np.arange(len(best)),
            **rates,
            **viable,
            "category": [words[place].category for place in best],
            "word": [words[place].text for place in best],
            "auroc": scores,
            "largest": chosen["largest"],
        }
    )


def _told_best(
    chosen: Record,
    tested: Record,
    chosen_labels: Mapping[Word, np.ndarray],
    tested_labels: Mapping[Word, np.ndarray],
) -> tuple[list[Word], np.ndarray, np.ndarray]:
    words = [word for word in chosen_labels if word in tested_labels]
    if not words:  # of a corpus nothing may be known
        n = len(chosen["largest"])
        return [Word("", "")], np.zeros(n, int), np.full(n, np.nan)
    scores = np.stack([auroc(chosen["activation"], chosen_labels[word]) for word in words])
    held = np.stack([auroc(tested["activation"], tested_labels[word]) for word in words])
    best = np.nan_to_num(scores, nan=-1.0).argmax(axis=0)
    return words, best, held[best, np.arange(len(best))]
