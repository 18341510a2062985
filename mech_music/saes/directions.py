"""What features stand for in edits: directions for affine ones, and sets of features for splices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.activations.recipes import resolves
from mech_music.base.errors import UserError
from mech_music.edits.row import Prompts
from mech_music.saes.concepts import best_feature, ranked_features
from mech_music.saes.named import (
    ConceptDirection,
    ConceptFeatures,
    ConceptShift,
    FeatureDirection,
    Firing,
    RandomFeatures,
)
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
    return _direction(sae, record, best_feature(source, _arrays(record)))


@resolves(ConceptShift)
def concept_shift(source: ConceptShift, hook: str, passes: PassRunner) -> Tensor:
    """UserError where there are no clips of either concept, or fewer features."""
    record = _arrays(passes.recording.get(source.firing))
    if not source.n:
        there, here = (_mean(source.firing, record["neuron"], prompts) for prompts in (source.prompts, source.others))
        return torch.from_numpy(there - here).float()[None, None]
    sae = open_sae(source.firing.sae, hook, passes)
    if not 1 <= source.n <= sae.n_features:
        raise UserError(f"{source.n} features asked for: the SAE has {sae.n_features}")
    longest, shift = _longest(source, sae, record)
    return (shift[longest] @ sae.W_dec[longest])[None, None]


@resolves(RandomFeatures)
def random_features(source: RandomFeatures, hook: str, passes: PassRunner) -> Tensor:
    """UserError if fewer features fire."""
    sae, record = open_sae(source.firing.sae, hook, passes), _arrays(passes.recording.get(source.firing))
    used = {feature for one in source.beside for feature in _features_of(one, sae, record)}
    fire = [int(one) for one in np.flatnonzero(record["largest"] > 0) if int(one) not in used]
    if source.n > len(fire):
        raise UserError(f"{source.n} random features asked for: {len(fire)} others fire")
    rng = np.random.default_rng([source.seed, source.n])
    drawn = torch.from_numpy(rng.choice(fire, source.n, replace=False))
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], source.n) if source.n > 1 else np.ones(1)).float()
    return (signs @ torch.nn.functional.normalize(sae.W_dec[drawn], dim=1))[None, None]


def _features_of(
    source: ConceptDirection | ConceptShift | ConceptFeatures, sae: Sae, record: Mapping[str, np.ndarray]
) -> list[int]:
    """What a source is made of."""
    match source:
        case ConceptDirection():
            return [best_feature(source, record)]
        case ConceptFeatures():
            return ranked_features(source, record)[: source.n]
        case ConceptShift():
            return _longest(source, sae, record)[0].tolist()


def _longest(
    source: ConceptShift, sae: Sae, record: Mapping[str, np.ndarray]
) -> tuple[Int[Tensor, " feature"], Float[Tensor, " feature"]]:
    """The features with the longest terms, and all terms."""
    there, here = (_mean(source.firing, record["activation"], prompts) for prompts in (source.prompts, source.others))
    shift = torch.from_numpy(there - here).float()
    return (shift.abs() * sae.W_dec.norm(dim=1)).topk(source.n).indices, shift


@resolves(ConceptFeatures)
def concept_features(source: ConceptFeatures, hook: str, passes: PassRunner) -> Tensor:
    """``[1, 1, feature]``. UserError if fewer features fire."""
    record = _arrays(passes.recording.get(source.firing))
    told = ranked_features(source, record)
    if not 1 <= source.n <= len(told):
        raise UserError(f"{source.n} features asked for: allowed are 1 to the {len(told)} that fire")
    features = told[: source.n]
    if source.draw is not None:
        features = as_often(record, features, source.draw)
    levels = np.maximum(_mean(source.firing, record["activation"], source.prompts), np.finfo(np.float32).tiny)
    found = torch.zeros(len(levels))
    found[features] = torch.from_numpy(levels[features]).float()
    return found[None, None]


def as_often(record: Mapping[str, np.ndarray], features: Sequence[int], seed: int) -> list[int]:
    """For each feature another that is none of them and fires in about as many frames: one of the `_NEAR` nearest that
    are left, at random. UserError if there are not as many others."""
    share = np.nanmean(record["share"], axis=0)
    left = [int(one) for one in np.flatnonzero(record["largest"] > 0) if int(one) not in {*features}]
    if len(left) < len(features):
        n_fire = len(left) + len(features)
        raise UserError(f"{len(features)} features of {n_fire} that fire: there are not as many others to draw")
    rng, drawn = np.random.default_rng([seed, len(features)]), []
    for feature in features:
        near = sorted(left, key=lambda one: (abs(share[one] - share[feature]), one))[:_NEAR]
        drawn.append(near[int(rng.integers(len(near)))])
        left.remove(drawn[-1])
    return drawn


def _arrays(record: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in record.items()}


def _mean(firing: Firing, values: Float[np.ndarray, "clip feature"], prompts: Prompts) -> Float[np.ndarray, " feature"]:
    """Over some prompts' clips, those that failed left out. UserError where there are none."""
    own = np.isin([row.prompt for row in firing.harvest.rows], prompts.texts)
    if not np.isfinite(values[own]).any():
        raise UserError(f"the clips that features are looked for in have none of '{prompts.name}': use more sae.clips")
    return np.nanmean(values[own], axis=0)


def _direction(sae: Sae, record: Mapping[str, Tensor], feature: int) -> Tensor:
    must_fire(record["largest"].numpy(), feature)
    return (record["largest"][feature] * sae.W_dec[feature])[None, None]


def must_fire(largest: np.ndarray, feature: int) -> None:
    """UserError for a feature that does not exist or never fires."""
    if not 0 <= feature < len(largest):
        raise UserError(f"feature {feature} does not exist: the SAE has {len(largest)}, 0 to {len(largest) - 1}")
    if not largest[feature] > 0:
        raise UserError(f"feature {feature} never fires on the clips that it was looked for in: choose another")
