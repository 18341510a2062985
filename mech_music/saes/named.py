"""SAEs as sources: names that hold everything which decides them, as `mech_music.edits.row` has means and lenses.

A `Harvest` is clips whose activations are kept; an `SaeFit` is trained on one; `Firing` and `SplicedIn` say what an SAE
does on one. Directions are tensors for affine edits, found in these recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mech_music.edits.content import stored
from mech_music.edits.row import Half, Prompts, Row


class Training(StrEnum):
    """How features are kept sparse in training. batchtopk and matryoshka (batchtopk whose first features make do alone)
    are used as jumprelu afterwards, with the learnt threshold."""

    topk = "topk"
    batchtopk = "batchtopk"
    matryoshka = "matryoshka"
    relu = "relu"
    jumprelu = "jumprelu"

    @property
    def counts(self) -> bool:
        """Whether ``k`` says how many features are active; a penalty does otherwise."""
        return self in (Training.topk, Training.batchtopk, Training.matryoshka)

    @property
    def batchwise(self) -> bool:
        """Whether the k are chosen among all of a batch."""
        return self in (Training.batchtopk, Training.matryoshka)


@stored
@dataclass(frozen=True)
class Harvest:
    """Clips of prompts in turn, with seeds from ``seed`` on; their activations are kept as ``dtype``."""

    prompts: Prompts
    n_clips: int
    seed: int
    dtype: str = "float16"

    @property
    def rows(self) -> list[Row]:
        """Every clip."""
        texts = self.prompts.texts
        return [Row(texts[i % len(texts)], self.seed + i // len(texts)) for i in range(self.n_clips)]


@stored
@dataclass(frozen=True)
class SaeFit:
    """An SAE by how it is trained (`mech_music.saes.training`): on the vectors of one guidance half, or of both.

    ``k``: features of a vector, of topk, batchtopk and matryoshka; ``sparsity``: the weight of the penalty, of relu
    (L1) and jumprelu (L0). ``rate``: Adam's. ``batch``: vectors. ``compute``: the format of products, float32 or
    bfloat16; weights and Adam's state are float32.
    """

    harvest: Harvest
    n_features: int
    k: int
    training: Training
    sparsity: float
    epochs: int
    batch: int
    rate: float
    seed: int
    half: Half = Half.cond
    compute: str = "float32"


@stored
@dataclass(frozen=True)
class TrainedSae:
    """An SAE that is found in the store, or trained."""

    hook: str
    fit: SaeFit


@stored
@dataclass(frozen=True)
class SaeFile:
    """An SAE in a folder, named by its content; where it lies decides nothing. ``hook``: what the file's own name of
    its hook stands for, empty for what `mech_music.saes.hook_names` takes it for."""

    digest: str
    path: str = field(compare=False)
    hook: str = field(default="", compare=False)

    def payload(self) -> dict[str, Any]:
        """Where it was found."""
        return {"path": self.path, "hook": self.hook}

    @classmethod
    def from_payload(cls, digest: str, payload: Mapping[str, Any]) -> SaeFile:
        """From what `payload` gave."""
        return cls(digest, payload["path"], payload.get("hook", ""))


@stored
@dataclass(frozen=True)
class RandomSae:
    """The control for an SAE: as many features, as many of them active, in random directions."""

    like: TrainedSae | SaeFile
    seed: int


Dictionary = TrainedSae | SaeFile | RandomSae


def recorded_for(sae: Dictionary) -> tuple[Any, ...]:
    """What has to be recorded before an SAE can be used."""
    if isinstance(sae, RandomSae):
        return recorded_for(sae.like)
    return (sae,) if isinstance(sae, TrainedSae) else ()


@stored
@dataclass(frozen=True)
class Firing:
    """What the features of an SAE do on the clips of a harvest, read at ``hook``, and what they do not explain."""

    sae: Dictionary
    hook: str
    harvest: Harvest


@stored
@dataclass(frozen=True)
class SplicedIn:
    """What becomes of the model's distributions when the SAE's reconstruction takes the place of a hook's value."""

    sae: Dictionary
    hook: str
    harvest: Harvest


@stored
@dataclass(frozen=True)
class AtNeighbours:
    """What an SAE that was read leaves unexplained at its hook and at neighbouring ones, on the clips of a harvest."""

    sae: SaeFile
    hook: str
    harvest: Harvest


@stored
@dataclass(frozen=True)
class FeatureDirection:
    """``β · W_dec[feature]``, β the feature's largest activation on a harvest: what is added to steer."""

    firing: Firing
    feature: int

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for(self.firing.sae), self.firing)


@stored
@dataclass(frozen=True)
class ConceptDirection:
    """The direction of the feature that tells a concept's clips from others of the harvest with the ``rank``-th highest
    AUROC, from 0. ``prompts``: the concept's; ``others``: those that it is told from.

    ``draw``: in its place another feature that fires, drawn at random from this seed, made as long; None for its own.
    """

    firing: Firing
    prompts: Prompts
    others: Prompts
    rank: int = 0
    draw: int | None = None

    @property
    def recorded(self) -> tuple[Any, ...]:
        """What has to be recorded first."""
        return (*recorded_for(self.firing.sae), self.firing)
