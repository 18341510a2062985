"""Which features are labelled, and by which clips: rules that are part of the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Int

from mech_music.labels.protocol import Evidence


class By(StrEnum):
    """What makes a clip strong: the feature's mean activation in it, or its largest."""

    activation = "activation"
    peak = "peak"


@dataclass
class LabelConfig:
    """Which features are labelled, and by which clips.

    A clip counts as one in which a feature fires where it does in more than ``share`` of its steps. Features that fire
    in ``tracks`` (a share, from and to) of the clips are labelled, ``features`` of them at random (0: all), each by its
    ``strongest`` clips (``by`` what) and by ``contrast`` others in which it does not fire. ``similarity``: a listener
    with a text encoder (such as clap) that says how near labels are to a feature's strongest held-out clips.
    """

    strongest: int = 10
    contrast: int = 40
    by: By = By.activation
    share: float = 0.05
    tracks: list[float] = field(default_factory=lambda: [0.01, 0.9])
    features: int = 0
    seed: int = 0
    similarity: str | None = None

    @property
    def kept(self) -> tuple[float, float]:
        """The share of clips in which labelled features fire, from and to."""
        low, high = self.tracks
        return low, high

    @property
    def told(self) -> str:
        """The rule in a table's axis."""
        low, high = self.kept
        some = f", {self.features} of them" if self.features else ""
        clips = f"{self.strongest} strongest by {self.by.value}, {self.contrast} others, seed {self.seed}"
        return f"fires in > {self.share:g} of steps of {low:g} to {high:g} of clips{some}; {clips}"


def fires(record: Mapping[str, np.ndarray], share: float) -> Bool[np.ndarray, "clip feature"]:
    """Where each feature counts as firing, in clips that did not fail."""
    return record["share"][whole(record)] > share


def whole(record: Mapping[str, np.ndarray]) -> Int[np.ndarray, " clip"]:
    """The places of the clips that did not fail."""
    return np.flatnonzero(np.isfinite(record["activation"]).all(axis=1))


def labelled(fired: Bool[np.ndarray, "clip feature"], config: LabelConfig) -> list[int]:
    """The features that are labelled, in their order."""
    rate = fired.mean(axis=0)
    low, high = config.kept
    found = np.flatnonzero((rate >= low) & (rate <= high) & fired.any(axis=0) & ~fired.all(axis=0))
    if config.features and config.features < len(found):
        found = np.random.default_rng(config.seed).choice(found, config.features, replace=False)
    return sorted(int(feature) for feature in found)


def evidence(
    record: Mapping[str, np.ndarray], fired: Bool[np.ndarray, "clip feature"], feature: int, config: LabelConfig
) -> Evidence:
    """Its strongest clips, and others drawn from those in which it does not fire, all of them among whole clips."""
    value = record[config.by.value][whole(record), feature]
    strongest = np.argsort(-value, kind="stable")[: config.strongest]
    strongest = strongest[value[strongest] > 0]
    silent = np.setdiff1d(np.flatnonzero(~fired[:, feature]), strongest)
    draw = np.random.default_rng([config.seed, feature])
    return Evidence(feature, strongest, np.sort(draw.permutation(silent)[: config.contrast]))
