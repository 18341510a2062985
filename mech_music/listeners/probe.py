"""A probe: what a few audio examples of each class teach, on the features that a classifier's head reads.

Multinomial logistic regression on standardised embeddings, with every class of the same weight and an L2 penalty. How
well it hears examples that it was not fitted on (five folds) is stored with every reading.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mech_music.base.errors import UserError, first_line
from mech_music.base.paths import user_path
from mech_music.config.schema import ClassifierConfig, RunConfig
from mech_music.listeners.embedding import Embedding
from mech_music.models.content import Content

if TYPE_CHECKING:
    from mech_music.listeners.protocol import Clips

log = logging.getLogger(__name__)
_VERSION = 1  # raise it when a change of this code changes a reading
_FOLDS, _LEAST = 5, 5  # at least one example of each class is held out in each fold
_PENALTY = 0.01  # on the squared weights, halved, beside a mean loss in nats
_KINDS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")


class Probe:
    """``logits [class]``, and ``held_out``: the mean recall of the classes in five-fold cross-validation, by chance
    1 / classes; the same number for every clip.

    ``classes``: by name, a folder of audio files that are examples of it (five or more). The probe is named by what is
    in the files, not by where they lie. UserError, one line, for folders and files that cannot be had or are in two
    classes.
    """

    in_background = True

    def __init__(self, config: ClassifierConfig, classes: Mapping[str, str], device: str = "auto") -> None:
        if len(classes) < 2:
            raise UserError("a probe needs two classes or more: name: folder, below classes, in its YAML")
        self._embedding = Embedding(config, device)
        files = {name: _files(name, user_path(folder)) for name, folder in classes.items()}
        self._contents = {name: Content(lambda found=found: found) for name, found in files.items()}
        self._examples = {
            name: dict(sorted(zip(self._contents[name].digests, found, strict=True))) for name, found in files.items()
        }
        _check(self._examples)
        named = hashlib.sha256(repr([(name, [*found]) for name, found in self._examples.items()]).encode()).hexdigest()
        self.id = f"probe {_VERSION} {named} {self._embedding.id}"

    @classmethod
    def from_run(cls, run: RunConfig, classes: Mapping[str, str]) -> Self:
        """On the features of the run's classifier."""
        return cls(run.classifier, classes, run.engine.device)

    def load(self) -> None:
        """Load the network and fit the probe."""
        _ = self._fitted

    @cached_property
    def _fitted(self) -> tuple[_Regression, float]:
        """The regression on all examples, and the recall on those held out."""
        found = [self._embed(file) for examples in self._examples.values() for file in examples.values()]
        of = np.repeat(np.arange(len(self._examples)), [len(examples) for examples in self._examples.values()])
        for name, content in self._contents.items():
            content.must_be_unchanged(f"examples of {name}")
        features, wanted = torch.from_numpy(np.stack(found)).double(), torch.from_numpy(of)
        held_out = _cross_validated(features, wanted)
        log.info("probe of %s: %.2f of examples held out are heard right", ", ".join(self._examples), held_out)
        if held_out <= 1 / len(self._examples):
            log.warning(
                "the probe of %s hears examples held out no better than chance (%.2f)",
                ", ".join(self._examples), held_out,
            )  # fmt: skip
        return _Regression(features, wanted), held_out

    def _embed(self, file: Path) -> Float32[np.ndarray, " channel"]:
        import soundfile

        try:
            audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
            mono = torch.from_numpy(audio.mean(1))[None]
            return self._embedding.network.features(mono, rate)[0].float().cpu().numpy()
        except (soundfile.SoundFileError, ValueError) as error:
            raise UserError(f"example '{file}' cannot be heard ({first_line(error)}): replace or remove it") from error

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip ..."]]:
        """Logits of the probe, and how well it hears."""
        regression, held_out = self._fitted
        features = torch.from_numpy(self._embedding.read(clips)["embedding"]).double()
        logits = torch.stack([regression(one[None])[0] for one in features]).numpy().astype(np.float32)
        return {"logits": logits, "held_out": np.full(len(logits), held_out, np.float32)}


class _Regression:
    """Multinomial logistic regression, fitted when it is made; the same data give the same weights."""

    def __init__(self, features: Float[Tensor, "example channel"], wanted: Int[Tensor, " example"]) -> None:
        self._mean, self._spread = features.mean(0), features.std(0).clamp(min=1e-6)
        x, counts = self._standard(features), torch.bincount(wanted)
        self._weight = torch.zeros(x.shape[1], len(counts), dtype=x.dtype, requires_grad=True)
        self._bias = torch.zeros(len(counts), dtype=x.dtype, requires_grad=True)
        solver = torch.optim.LBFGS([self._weight, self._bias], max_iter=300, line_search_fn="strong_wolfe")

        def loss() -> float:
            solver.zero_grad()
            nats = F.cross_entropy(x @ self._weight + self._bias, wanted, weight=1 / counts.to(x))
            found = nats + _PENALTY / 2 * self._weight.square().sum()
            found.backward()
            return found.item()

        with torch.enable_grad():
            solver.step(loss)

    def _standard(self, features: Float[Tensor, "example channel"]) -> Float[Tensor, "example channel"]:
        return (features - self._mean) / self._spread

    @torch.no_grad()
    def __call__(self, features: Float[Tensor, "example channel"]) -> Float[Tensor, "example class"]:
        return self._standard(features) @ self._weight + self._bias


def _cross_validated(features: Float[Tensor, "example channel"], wanted: Int[Tensor, " example"]) -> float:
    """The mean recall of the classes, each example heard by a probe that was fitted on the other folds."""
    fold = torch.cat([torch.arange(int(n)) % _FOLDS for n in torch.bincount(wanted)])
    right = torch.zeros(len(wanted), dtype=torch.bool)
    for number in range(_FOLDS):
        out = fold == number
        right[out] = _Regression(features[~out], wanted[~out])(features[out]).argmax(1) == wanted[out]
    return float(torch.stack([right[wanted == place].double().mean() for place in wanted.unique()]).mean())


def _files(name: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"examples of '{name}': '{folder}' is no folder")
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _KINDS)


def _check(examples: Mapping[str, Mapping[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, found in examples.items():
        if len(found) < _LEAST:
            raise UserError(
                f"examples of '{name}': {len(found)} different audio files; at least {_LEAST} are needed "
                f"({', '.join(_KINDS)})"
            )
        for digest, file in found.items():
            if digest in seen:
                raise UserError(f"'{seen[digest]}' and '{file}' are the same, in two classes: leave it in one")
        seen |= found
