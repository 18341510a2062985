"""The delay pattern: at each autoregressive step, codebook k gets its token of frame ``step − delay[k]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int
from torch import Tensor

if TYPE_CHECKING:
    from audiocraft.models.lm import LMModel


def n_steps(lm: LMModel, n_frames: int) -> int:
    """Autoregressive steps for ``n_frames`` codec frames: the longest delay is added."""
    return len(lm.pattern_provider.get_pattern(n_frames).layout) - 1


def to_frames(
    lm: LMModel, sequence: Int[Tensor, "row codebook position"], n_frames: int
) -> Int[Tensor, "row codebook frame"]:
    """Tokens in the order of the music, from the order of the pattern (whose first position is the start)."""
    pattern = lm.pattern_provider.get_pattern(n_frames)
    tokens, _, _ = pattern.revert_pattern_sequence(sequence, special_token=-1)
    return tokens[..., :n_frames]


def sampled_positions(lm: LMModel, n_frames: int) -> Bool[Tensor, "codebook step"]:
    """Which codebooks get a token of the music at which step; the rest is filled."""
    pattern = lm.pattern_provider.get_pattern(n_frames)
    _, _, mask = pattern.build_pattern_sequence(torch.zeros(1, lm.n_q, n_frames), 0)
    return mask[:, 1:]
