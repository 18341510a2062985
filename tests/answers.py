"""Made-up answers of an engine: what a clip is heard as, given by the test."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mech_music.edits.row import Mean, Row
from mech_music.engine.engine import Answers


@dataclass(frozen=True)
class Outcome:
    """A clip and the classifier's reading of it; one that failed has NaN logits."""

    logits: np.ndarray
    tokens: np.ndarray
    key: str = ""
    failed: bool = False


def _mean(source: Mean, hook: str) -> Tensor:
    """Another one for every source and hook."""
    seed = zlib.crc32(repr((source, hook)).encode())
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1, (3, 2, 4)))


def answered(outcomes: Mapping[Row, Outcome]) -> Answers:
    """The answers that an engine with a classifier and a likelihood would give."""
    keys = {row: outcome.key for row, outcome in outcomes.items()}
    readings = {outcome.key: {"logits": outcome.logits} for outcome in outcomes.values()}
    clips = {
        outcome.key: {"tokens": outcome.tokens, "failed": not np.isfinite(outcome.logits).all()}
        for outcome in outcomes.values()
    }
    nats = {key: {"nats": np.zeros(())} for key in readings}
    return Answers(keys, {"classifier": readings, "likelihood": nats}, clips=lambda _: clips, mean=_mean)
