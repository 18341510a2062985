"""What features stand for in edits: directions for affine ones, and sets of features for splices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mech_music.activations.recipes import resolves
from mech_music.base.errors import UserError
from mech_music.saes.concepts import auroc, best_feature
from mech_music.saes.named import ConceptDirection, ConceptFeatures, FeatureDirection, Firing
from mech_music.saes.recorded import open_sae
from mech_music.saes.sae import Sae

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

_NEAR = 8  # features that fire about as often, of which one is drawn


@resolves(FeatureDirection)
def feature_direction(source: FeatureDirection, hook: str, passes: PassRunner) -> Tensor:
    """UserError for a feature that does not exist or never fires."""
    sae, record = open_sae(source.firing.sae, hook, passes), passes.recording.get(source.firing)
    return _direction(sae, record, source.feature)


@resolves(ConceptDirection)
def concept_direction(source: ConceptDirection, hook: str, passes: PassRunner) -> Tensor:
    """UserError if fewer features fire."""
    sae, record = open_sae(source.firing.sae, hook, passes), passes.recording.get(source.firing)
    feature = best_feature(source, {name: tensor.numpy() for name, tensor in record.items()})
    own = _direction(sae, record, feature)
    if source.draw is None:
        return own
    others = [int(one) for one in (record["largest"] > 0).nonzero()[:, 0] if int(one) != feature]
    if not others:
        raise UserError(f"no feature but {feature} fires: there is none to draw")
    drawn = others[int(np.random.default_rng([source.draw, feature]).integers(len(others)))]
    other = sae.W_dec[drawn]
    return (own.norm() / other.norm() * other)[None, None]


def _direction(sae: Sae, record: Mapping[str, Tensor], feature: int) -> Tensor:
    must_fire(record["largest"].numpy(), feature)
    return (record["largest"][feature] * sae.W_dec[feature])[None, None]


def must_fire(largest: np.ndarray, feature: int) -> None:
    """UserError for a feature that does not exist or never fires."""
    if not 0 <= feature < len(largest):
        raise UserError(f"feature {feature} does not exist: the SAE has {len(largest)}, 0 to {len(largest) - 1}")
    if not largest[feature] > 0:
        raise UserError(f"feature {feature} never fires on the clips that it was looked for in: choose another")
