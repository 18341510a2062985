"""A clip's place among others: the features that a classifier's head reads, for distances between sets of clips."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self, cast

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.config.schema import ClassifierConfig, RunConfig
from mech_music.listeners.classifier import ClassifierListener

if TYPE_CHECKING:
    from mech_music.listeners.protocol import Clips


class Embedder(Protocol):
    """A classifier that can stop before its head."""

    def features(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip channel"]:
        """What the head reads, of mono clips; a clip's do not depend on its neighbours."""
        ...


class Embedding:
    """``embedding [channel]`` of each clip, by the network of a classifier.

    UserError if its files are missing, or (on loading) if its network has no features to give.
    """

    in_background = True

    def __init__(self, config: ClassifierConfig, device: str = "auto") -> None:
        self._name, self._listener = config.name, ClassifierListener(config, device)
        self.id = f"embedding {self._listener.id}"

    @classmethod
    def from_run(cls, run: RunConfig) -> Self:
        """By the network of the run's classifier."""
        return cls(run.classifier, run.engine.device)

    def load(self) -> None:
        """Load the network."""
        _ = self.network

    @cached_property
    def network(self) -> Embedder:
        """The classifier."""
        classifier = self._listener.classifier
        if not hasattr(classifier, "features"):
            raise UserError(f"classifier '{self._name}' has no features(): it cannot embed clips; use another")
        return cast(Embedder, classifier)

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip channel"]]:
        """The features before the head."""
        return {"embedding": self.network.features(clips.audio, clips.sample_rate).float().cpu().numpy()}
