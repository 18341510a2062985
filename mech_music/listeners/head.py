"""What a further head of the classifier hears: the bundled one's has heads for mood and tempo (`mech_music.tiny`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float32

from mech_music.base.errors import UserError
from mech_music.config.schema import ClassifierConfig, RunConfig
from mech_music.listeners.classifier import ClassifierListener

if TYPE_CHECKING:
    from mech_music.listeners.protocol import Clips


class Head:
    """``logits [class]`` of one of a classifier's further heads, in the order of ``classes``.

    UserError if the classifier's files are missing, or (on loading) if it has no such head or that has other classes.
    """

    in_background = True

    def __init__(self, config: ClassifierConfig, head: str, classes: Sequence[str], device: str = "auto") -> None:
        self._name, self._head, self._classes = config.name, head, tuple(classes)
        self._listener = ClassifierListener(config, device)
        self.id = f"head {head} {'|'.join(self._classes)} {self._listener.id}"

    @classmethod
    def from_run(cls, run: RunConfig, head: str, classes: Sequence[str]) -> Self:
        """Of the run's classifier."""
        return cls(run.classifier, head, classes, run.engine.device)

    def load(self) -> None:
        """Load the network."""
        _ = self._network

    @cached_property
    def _network(self) -> tuple[Any, list[int]]:
        """The classifier, and the head's column of each class."""
        classifier: Any = self._listener.classifier
        heads = getattr(getattr(classifier, "config", None), "attributes", None) or {}
        words = heads.get(self._head, []) if isinstance(heads, dict) else []
        if lacking := [name for name in self._classes if name not in words]:
            raise UserError(
                f"classifier '{self._name}' has no head '{self._head}' that hears '{lacking[0]}', so it cannot hear "
                f"{self._head}: use classifier=tiny (with model=tiny), or a prompt set with another heard_by"
            )
        return classifier, [words.index(name) for name in self._classes]

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip class"]]:
        """Raw logits."""
        classifier, columns = self._network
        _, heads = classifier.listen(clips.audio, clips.sample_rate)
        return {"logits": heads[self._head][:, columns].float().cpu().numpy()}
