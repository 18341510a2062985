"""What compilers know of a model, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mech_music.edits.protocol import Recorded
from mech_music.edits.row import Row
from mech_music.models.hooks import Hook


@dataclass
class _ModelShape:
    """Prompts of equal length are one group."""

    n_heads: int = 4
    halves: int = 2

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def group_of(self, prompt: str) -> int:
        return len(prompt)


ModelShape: Any = _ModelShape
"""A `Generator` as far as compilers ask."""


def no_activations(rows: Sequence[Row], hooks: Sequence[Hook]) -> Recorded:
    """For edits that need none."""
    raise AssertionError(f"no edit needs {rows}")
