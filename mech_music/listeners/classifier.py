"""Classifiers: what turns clips into logits of AudioSet's 527 classes, whichever network hears them.

A classifier is a class and a file in ``conf/classifier/`` whose ``_target_`` names it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self, cast

import numpy as np
from hydra.utils import get_class
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.base.errors import UserError, first_line
from mech_music.config.schema import ClassifierConfig, RunConfig, load_classifier_config
from mech_music.listeners.labels import N_CLASSES, label_names
from mech_music.listeners.protocol import Clips
from mech_music.models.content import Content, code_of
from mech_music.models.devices import pick_device

__all__ = [
    "N_CLASSES",
    "Classifier",
    "ClassifierClass",
    "ClassifierListener",
    "classifier_id",
    "label_names",
    "load_classifier",
]


class Classifier(Protocol):
    """What the engine asks of a listener. ``sample_rate`` (Hz) is what its network hears; other audio is resampled."""

    name: str
    sample_rate: int
    n_classes: int

    def logits(self, audio: Float[Tensor, "clip sample"], sample_rate: int) -> Float[Tensor, "clip label"]:
        """Raw logits of mono clips, in AudioSet's order (`label_names`); a clip's do not depend on its neighbours."""
        ...


class ClassifierClass(Protocol):
    """What a class that ``_target_`` names offers."""

    def files(self, config: ClassifierConfig) -> list[Path]:
        """The checkpoint's files, fetched into their cache if need be. Their contents identify the classifier."""
        ...

    def load(self, config: ClassifierConfig, device: str) -> Classifier:
        """The classifier in evaluation mode. Raises UserError for files that do not fit."""
        ...


def _config(wanted: str | ClassifierConfig, path: str | None) -> ClassifierConfig:
    asked = ClassifierConfig(name=wanted) if isinstance(wanted, str) else wanted
    if asked._target_ is None:
        written = load_classifier_config(asked.name)
        asked = replace(written, path=asked.path or written.path)
    return replace(asked, path=path or asked.path)


def _class(config: ClassifierConfig) -> ClassifierClass:
    target = str(config._target_)
    try:
        found = get_class(target)
    except Exception as error:
        raise UserError(
            f"classifier {config.name!r}: its _target_ {target!r} cannot be imported ({first_line(error)}): mend "
            f"conf/classifier/{config.name}.yaml, or run where Python finds the module"
        ) from error
    if lacking := [part for part in ("files", "load", "logits") if not hasattr(found, part)]:
        raise UserError(f"classifier {config.name!r}: {target} has no {lacking[0]}(); see mech_music/classifier")
    return cast(ClassifierClass, found)


class ClassifierListener:
    """A classifier's logits of each clip, ``logits [label]``.

    ``path``: of its checkpoint, if that is not where the config says. UserError for an unknown name and for files that
    are missing; what is in them is seen when it is loaded.
    """

    in_background = True

    def __init__(self, wanted: str | ClassifierConfig = "tiny", device: str = "auto", path: str | None = None) -> None:
        self._config, self._device = _config(wanted, path), device
        self._class = _class(self._config)
        with self._readable():
            self._files = Content(lambda: self._class.files(self._config))

    @classmethod
    def from_run(cls, run: RunConfig) -> Self:
        """The run's classifier."""
        return cls(run.classifier, run.engine.device)

    @property
    def id(self) -> str:
        """What identifies it in the store, known without loading it: name, class, code, and its files' SHA-256."""
        with self._readable():
            return " ".join([self._config.name, code_of(cast(type, self._class)), *self._files.digests])

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"classifier file '{error.filename}' cannot be read ({error.strerror}): set classifier.path"
            ) from None

    def load(self) -> None:
        """Load the network."""
        _ = self.classifier

    @cached_property
    def classifier(self) -> Classifier:
        """The network. UserError for files that do not fit or change meanwhile, and for classes not AudioSet's."""
        name, model = self._config.name, self._class.load(self._config, str(pick_device(self._device)))
        self._files.must_be_unchanged(f"classifier {name!r}")
        if model.n_classes != N_CLASSES:
            raise UserError(f"classifier {name!r} has {model.n_classes} classes, not AudioSet's {N_CLASSES}")
        return model

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip label"]]:
        """Raw logits, in AudioSet's order."""
        return {"logits": self.classifier.logits(clips.audio, clips.sample_rate).float().cpu().numpy()}


def classifier_id(wanted: str | ClassifierConfig = "tiny", path: str | None = None) -> str:
    """What identifies a classifier in the store, known without loading it."""
    return ClassifierListener(wanted, path=path).id


def load_classifier(
    wanted: str | ClassifierConfig = "tiny", path: str | None = None, device: str = "cpu"
) -> Classifier:
    """The classifier of a config, or that of ``conf/classifier/<wanted>.yaml`` with the checkpoint at ``path``.

    Raises UserError for an unknown name, for files that are missing, unreadable or do not fit, and for a classifier
    whose classes are not AudioSet's.
    """
    return ClassifierListener(wanted, device, path).classifier
