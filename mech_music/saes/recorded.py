"""SAEs as sources: trained once and found in the store, read from folders, or drawn at random; and what they do."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from mech_music.activations.recipes import Making, register
from mech_music.saes.estimate import cost_of, must_fit, rate_on
from mech_music.saes.files import Place, open_file
from mech_music.saes.firing import firing_of
from mech_music.saes.fitting import from_record, shared_by, steps_of, to_record, trainers_of
from mech_music.saes.harvest import gather
from mech_music.saes.named import (
    AtNeighbours,
    Corpus,
    Dictionary,
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
        counted = sae.like.fit.k if isinstance(sae.like, TrainedSae) else 0
        return _random(open_sae(sae.like, hook, passes), sae.seed, counted)
    if isinstance(sae, TrainedSae):
        return from_record(passes.recording.get(sae), about_trained(sae, passes))
    source, model = passes.source, passes.model
    names = (source.name, source.source)
    return open_file(sae, Place(hook, names, source.weights, model.d_model, model.frame_rate, model.sample_rate))


def about_trained(sae: TrainedSae, passes: PassRunner) -> About:
    """Where a trained SAE belongs, and how it was trained."""
    fit = {part.name: getattr(sae.fit, part.name) for part in fields(sae.fit)}
    harvest = sae.fit.harvest
    fit["harvest"] = {"n_clips": harvest.n_clips, "seed": harvest.seed, "dtype": harvest.dtype}
    named = {"corpus": harvest.digest} if isinstance(harvest, Corpus) else {"prompts": harvest.prompts.digest}
    fit["harvest"] |= named
    source, model = passes.source, passes.model
    return About(source.name, source.weights, sae.hook, sae.hook, model.frame_rate, fit, model.sample_rate)


def _random(like: Sae, seed: int, counted: int) -> Sae:
    """As many unit directions, each read and written along itself; by topk, as sparse where features are counted
    (``counted``: in training), else an eighth of the width."""
    drawn = torch.randn(like.n_features, like.width, generator=torch.Generator().manual_seed(seed))
    directions = torch.nn.functional.normalize(drawn, dim=1)
    k = min(like.k or counted or max(1, like.width // 8), like.n_features)
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
            mean = mean.expand(making.passes.model.halves, -1)  # of a corpus without prompts there is one
            found[source] = spliced_in(sae, source.hook, source.harvest, mean, making)
        return found


register(TrainedSae, _Training())
register(Firing, _Firing())
register(AtNeighbours, _AtNeighbours())
register(SplicedIn, _SplicedIn())
