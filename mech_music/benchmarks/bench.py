"""What the benchmarks of one run share: the config, the device, the models' folders."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch

from mech_music.benchmarks.config import BenchmarksConfig, NamedShape
from mech_music.benchmarks.models import Subject, bundled, make_random

log = logging.getLogger(__name__)


@dataclass
class Bench:
    """``scratch``: a folder for what is made on the way. ``plain_threads``: torch's for the sides not ours."""

    config: BenchmarksConfig
    device: torch.device
    scratch: Path
    plain_threads: int
    _shaped: dict[str, Subject] = field(default_factory=dict)

    @cached_property
    def tiny(self) -> Subject:
        return bundled()

    @cached_property
    def dtypes(self) -> list[str]:
        """The number formats of the device."""
        return ["float32", "bfloat16", *(["float16"] if self.device.type == "cuda" else [])]

    def shaped(self, shape: NamedShape) -> Subject:
        """The model of one of the config's ``shapes``, random weights; made when first asked for."""
        if shape.name not in self._shaped:
            log.info("making a model of random weights: %s", shape)
            self._shaped[shape.name] = replace(make_random(shape, self.scratch / shape.name), name=shape.name)
        return self._shaped[shape.name]

    @cached_property
    def random(self) -> Subject:
        """musicgen-small's shape, random weights; made when first asked for."""
        log.info("making a model of random weights: %s", self.config.shape)
        return make_random(self.config.shape, self.scratch / "random")

    def frames(self, wanted: int) -> int:
        """``wanted`` codec frames, or what the device can do in seconds."""
        return wanted or (60 if self.device.type == "cuda" else 20)
