"""SAEs as sources: trained once and found in the store, read from folders, or drawn at random; and what they do."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mech_music.activations.recipes import Making, register, resolves
from mech_music.base.errors import UserError
from mech_music.saes.concepts import best_feature
from mech_music.saes.estimate import cost_of, must_fit, rate_on
from mech_music.saes.files import Place, open_file
from mech_music.saes.firing import firing_of
from mech_music.saes.fitting import from_record, shared_by, steps_of, to_record, trainers_of
from mech_music.saes.harvest import gather
from mech_music.saes.named import (
    AtNeighbours,
    ConceptDirection,
    Dictionary,
    FeatureDirection,
    Firing,
    RandomSae,
    SplicedIn,
    TrainedSae,
    recorded_for,
)
from mech_music.saes.neighbours import neighbours, unexplained_at
from mech_music.saes.progress import progress
from mech_music.saes.sae import About, Activation, Sae
from mech_music.saes.splicing import spliced_in

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

log = logging.getLogger(__name__)
Tensors = Mapping[str, np.ndarray]


def open_sae(sae: Dictionary, hook: str, passes: PassRunner) -> Sae:
    """The SAE that a source names, for use at ``hook``. UserError for a file that belongs elsewhere."""
    if isinstance(sae, RandomSae):
        return _random(open_sae(sae.like, hook, passes), sae.seed)
    if isinstance(sae, TrainedSae):
        return from_record(passes.recording.get(sae), about_trained(sae, passes))
    source, model = passes.source, passes.model
    names = (source.name, source.source)
    return open_file(sae, Place(hook, names, source.weights, model.d_model, model.frame_rate, model.sample_rate))


def about_trained(sae: TrainedSae, passes: PassRunner) -> About:
    """Where a trained SAE belongs, and how it was trained."""
    fit = asdict(sae.fit)
    fit["harvest"]["prompts"] = sae.fit.harvest.prompts.digest
    source, model = passes.source, passes.model
    return About(source.name, source.weights, sae.hook, sae.hook, model.frame_rate, fit, model.sample_rate)


def _random(like: Sae, seed: int) -> Sae:
    """As many unit directions, each read and written along itself; as sparse, by topk."""
    drawn = torch.randn(like.n_features, like.width, generator=torch.Generator().manual_seed(seed))
    directions = torch.nn.functional.normalize(drawn, dim=1)
    k = like.k or max(1, like.width // 8)
    return Sae(directions.T.contiguous(), torch.zeros(like.n_features), directions, like.b_dec, Activation.topk, k)


class _Training:
    """Recipe of `TrainedSae`: all SAEs that share batches are trained at once."""

    def needs(self, source: TrainedSae) -> Sequence[object]:
        return ()

    def together(self, source: TrainedSae) -> Hashable:
        return shared_by(source.fit)

    def make(self, sources: Sequence[TrainedSae], making: Making) -> dict[TrainedSae, Tensors]:
        passes, fit = making.passes, sources[0].fit
        hooks = list(dict.fromkeys(source.hook for source in sources))
        planned = cost_of(sources, passes)
        must_fit(planned, passes.model.device)
        log.info("%s", planned.told(rate_on(passes.model.device, passes.model.d_model)))
        activations = gather(fit.harvest, hooks, making)
        keys = "".join(passes.recording.key(source) for source in sources)
        work = passes.store.place / "training" / hashlib.sha256(keys.encode()).hexdigest()[:24]
        with progress("training", steps_of(fit, hooks, activations), making.quiet) as show:
            found = trainers_of(sources, activations, work, show, passes.model.device)
        shutil.rmtree(work, ignore_errors=True)
        return {source: to_record(one.sae()) | {"history": np.array(one.history)} for source, one in found.items()}


class _Firing:
    """Recipe of `Firing`: one reading of the activations for each."""

    def needs(self, source: Firing) -> Sequence[object]:
        return recorded_for(source.sae)

    def together(self, source: Firing) -> Hashable:
        return source.harvest

    def make(self, sources: Sequence[Firing], making: Making) -> dict[Firing, Tensors]:
        hooks = list(dict.fromkeys(source.hook for source in sources))
        activations, passes = gather(sources[0].harvest, hooks, making), making.passes
        found = {}
        for source in sources:
            sae = open_sae(source.sae, source.hook, passes).to(passes.model.device)
            found[source] = firing_of(sae, source.hook, source.harvest, activations)
        return found


class _AtNeighbours:
    """Recipe of `AtNeighbours`: one reading of a few clips."""

    def needs(self, source: AtNeighbours) -> Sequence[object]:
        return ()

    def together(self, source: AtNeighbours) -> Hashable:
        return source

    def make(self, sources: Sequence[AtNeighbours], making: Making) -> dict[AtNeighbours, Tensors]:
        (source,), model = sources, making.passes.model
        sae = open_sae(source.sae, source.hook, making.passes).to(model.device)
        hooks = (source.hook, *neighbours(source.hook, model.n_layers))
        activations = gather(source.harvest, hooks, making)
        found = unexplained_at(sae, hooks, source.harvest.n_clips, activations)
        return {source: {f"fvu {hook}": values for hook, values in found.items()}}


class _SplicedIn:
    """Recipe of `SplicedIn`: generations of its clips, read along with the hook's value replaced."""

    def needs(self, source: SplicedIn) -> Sequence[object]:
        return (*recorded_for(source.sae), Firing(source.sae, source.hook, source.harvest))

    def together(self, source: SplicedIn) -> Hashable:
        return source

    def make(self, sources: Sequence[SplicedIn], making: Making) -> dict[SplicedIn, Tensors]:
        found = {}
        for source in sources:
            sae = open_sae(source.sae, source.hook, making.passes).to(making.passes.model.device)
            mean = making.passes.recording.get(Firing(source.sae, source.hook, source.harvest))["mean"]
            found[source] = spliced_in(sae, source.hook, source.harvest, mean, making)
        return found


register(TrainedSae, _Training(), version=2)
register(Firing, _Firing(), version=2)
register(AtNeighbours, _AtNeighbours())
register(SplicedIn, _SplicedIn())


# -- directions ----------------------------------------------------------------------------------------------


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
