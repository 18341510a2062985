"""What an engine says to requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32, Int16
from torch import Tensor

from mech_music.activations.recording import Record
from mech_music.edits.row import Mean, Row
from mech_music.listeners.protocol import Reading
from mech_music.store.shards import Arrays

Sound = tuple[Float32[np.ndarray, "row sample"], int]
"""Clips, mono, and their sample rate."""


def _no_mean(source: Mean, hook: str) -> Tensor:
    raise KeyError(f"no mean at '{hook}'")


def _silence(rows: Sequence[Row]) -> Sound:
    raise KeyError("no sound")


@dataclass(frozen=True)
class Answers:
    """What an engine says to requests: clips by row, what listeners read of them, recordings by source."""

    keys: Mapping[Row, str]
    readings: Mapping[str, Mapping[str, Reading]] = field(default_factory=dict)
    records: Mapping[Any, Record] = field(default_factory=dict)
    clips: Callable[[Iterable[str]], Mapping[str, Arrays]] = lambda keys: {}
    mean: Callable[[Mean, str], Tensor] = _no_mean
    """The mean ``[step, half, d_model]`` of a source that some row's edits name, at a hook."""
    sound: Callable[[Sequence[Row]], Sound] = _silence
    """Rows as sound, whether or not they were asked for: those that are not there are made."""

    def key(self, row: Row) -> str:
        """The clip's key in the store."""
        return self.keys[row]

    def reading(self, row: Row, listener: str) -> Reading:
        """The listener's arrays of one clip; NaN throughout if the clip failed."""
        return self.readings[listener][self.keys[row]]

    def tokens(self, row: Row) -> Int16[np.ndarray, "codebook frame"]:
        """``[codebook, 0]`` where tokens are not kept."""
        return self._clips[self.keys[row]]["tokens"]

    def failed(self, row: Row) -> bool:
        """Whether an activation on the way to the clip was not finite."""
        return bool(self._clips[self.keys[row]]["failed"])

    @cached_property
    def _clips(self) -> Mapping[str, Arrays]:
        return self.clips(self.keys.values())
