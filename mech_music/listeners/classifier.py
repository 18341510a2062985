"""The listener: what turns clips into logits of AudioSet's 527 classes, whichever network hears them.

A classifier is a class and a file in ``conf/classifier/`` whose ``_target_`` names it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from hydra.utils import get_class
from jaxtyping import Float
from torch import Tensor

from mech_music.config.schema import ClassifierConfig, load_classifier_config, options
from mech_music.errors import UserError, first_line
from mech_music.listeners.labels import N_CLASSES, label_names
from mech_music.models.content import Content

__all__ = [
    "N_CLASSES",
    "Classifier",
    "ClassifierClass",
    "FoundClassifier",
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
        if asked.name not in options("classifier"):
            raise UserError(f"unknown classifier {asked.name!r}: expected one of {', '.join(options('classifier'))}")
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


@cache
def _code(found: type) -> str:
    """A class by its name and, outside this package (whose version the engine knows), by what it was made from.

    That is the source of its module and of those of its bases. Cached: a file may change after it was imported.
    """
    outside = {base.__module__ for base in found.__mro__ if not base.__module__.startswith("mech_music.")}
    files = [Path(file) for name in sorted(outside) if (file := getattr(sys.modules.get(name), "__file__", None))]
    own = found.__module__ in outside
    return " ".join([f"{found.__module__}.{found.__qualname__}", *([Content(lambda: files).digest] if own else [])])


class FoundClassifier:
    """The classifier of a config, its files found. UserError for an unknown name and for what is missing."""

    def __init__(self, wanted: str | ClassifierConfig = "tiny", path: str | None = None) -> None:
        self._config = _config(wanted, path)
        self._class = _class(self._config)
        with self._readable():
            self._files = Content(lambda: self._class.files(self._config))

    @property
    def id(self) -> str:
        """What identifies it in the store, known without loading it: name, class, code, and its files' SHA-256."""
        with self._readable():
            return " ".join([self._config.name, _code(cast(type, self._class)), *self._files.digests])

    def load(self, device: str) -> Classifier:
        """UserError for files that do not fit or change meanwhile, and for classes that are not AudioSet's."""
        model = self._class.load(self._config, device)
        self._files.must_be_unchanged(f"classifier {self._config.name!r}")
        if model.n_classes != N_CLASSES:
            raise UserError(
                f"classifier {self._config.name!r} has {model.n_classes} classes, not AudioSet's {N_CLASSES}"
            )
        return model

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"classifier file '{error.filename}' cannot be read ({error.strerror}): set classifier.path"
            ) from None


def classifier_id(wanted: str | ClassifierConfig = "tiny", path: str | None = None) -> str:
    """What identifies a classifier in the store, known without loading it."""
    return FoundClassifier(wanted, path).id


def load_classifier(
    wanted: str | ClassifierConfig = "tiny", path: str | None = None, device: str = "cpu"
) -> Classifier:
    """The classifier of a config, or that of ``conf/classifier/<wanted>.yaml`` with the checkpoint at ``path``.

    Raises UserError for an unknown name, for files that are missing, unreadable or do not fit, and for a classifier
    whose classes are not AudioSet's.
    """
    return FoundClassifier(wanted, path).load(device)
