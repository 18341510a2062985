"""Which features tell a concept's clips from others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from mech_music.base.errors import UserError
from mech_music.saes.named import ConceptDirection, ConceptFeatures


def auroc(
    values: Float[np.ndarray, "clip feature"], positive: Bool[np.ndarray, " clip"]
) -> Float[np.ndarray, " feature"]:
    """The probability that a positive clip has the larger value, ties counting half (Mann and Whitney 1947).

    NaN without positive or without other clips; clips that failed (NaN) are left out.
    """
    return aurocs(values, positive[None])[0]


def aurocs(
    values: Float[np.ndarray, "clip feature"], positive: Bool[np.ndarray, "word clip"]
) -> Float[np.ndarray, "word feature"]:
    """`auroc` of several words at once: clips are ranked but once."""
    from scipy.stats import rankdata  # a second to import, for those who ask

    whole = np.isfinite(values).all(axis=1)
    values, own = values[whole], positive[:, whole].astype(float)
    n = own.sum(axis=1, keepdims=True)
    others = own.shape[1] - n
    above = own @ rankdata(values, axis=0) - n * (n + 1) / 2
    return np.divide(above, n * others, out=np.full(above.shape, np.nan), where=n * others > 0)


def ranked_features(source: ConceptDirection | ConceptFeatures, record: Mapping[str, np.ndarray]) -> list[int]:
    """The features that fire, those first that tell the concept best. UserError where there are no clips of it."""
    prompts = [row.prompt for row in source.firing.harvest.rows]
    own, others = (np.isin(prompts, one.texts) for one in (source.prompts, source.others))
    counted = own | others
    scores = auroc(record["activation"][counted], own[counted])
    if not np.isfinite(scores).any():
        raise UserError(
            f"no feature can be found for '{source.prompts.name or 'the concept'}': the clips that features are looked "
            "for in have none of its prompts; use more sae.clips"
        )
    return [int(feature) for feature in np.argsort(-scores, kind="stable") if record["largest"][feature] > 0]


def best_feature(source: ConceptDirection, record: Mapping[str, np.ndarray]) -> int:
    """The feature that a direction names. UserError for a rank beyond the features that fire."""
    ranked = ranked_features(source, record)
    if source.rank >= len(ranked):
        raise UserError(f"rank {source.rank} of {len(ranked)} features that fire: allowed are 0 to {len(ranked) - 1}")
    return ranked[source.rank]
