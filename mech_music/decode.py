"""The autoregressive loop: text conditions in, codec tokens out.

The arithmetic is that of audiocraft's ``LMModel.generate`` (delay pattern, guidance as a doubled
batch, top-k sampling), with one difference: each row has its own random stream, so that a row's
tokens do not depend on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mech_music.attention import expect_steps
from mech_music.quiet import quiet_imports
from mech_music.sampling import RowNoise, Sampling, sample_top_k

with quiet_imports():
    from audiocraft.models.lm import LMModel


def n_steps(lm: LMModel, n_frames: int) -> int:
    """Autoregressive steps for ``n_frames`` codec frames: the delay pattern adds ``n_q − 1``."""
    return len(lm.pattern_provider.get_pattern(n_frames).layout) - 1


@torch.no_grad()
def decode(
    lm: LMModel,
    conditions: dict[str, tuple[Tensor, Tensor]],
    noise: RowNoise,
    n_frames: int,
    sampling: Sampling,
    forced: Int[Tensor, "#row codebook frame"] | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Int[Tensor, "row codebook frame"]:
    """Generate ``n_frames`` frames of tokens for every row.

    ``conditions``: the fused text conditions of the doubled batch (conditional half first).
    ``forced``: tokens to read along instead of sampling (teacher forcing).
    A row with a non-finite logit at any step is returned as −1 throughout.
    """
    pattern = lm.pattern_provider.get_pattern(n_frames)
    rows = next(iter(conditions.values()))[0].shape[0] // 2
    device = next(iter(conditions.values()))[0].device
    unknown = torch.full((rows, lm.n_q, n_frames), -1, dtype=torch.long, device=device)
    given = unknown if forced is None else forced.expand(rows, -1, -1)
    sequence, _, mask = pattern.build_pattern_sequence(given, lm.special_token_id)
    finite = torch.ones(rows, dtype=torch.bool, device=device)
    expect_steps(lm, sequence.shape[-1] - 1)
    with lm.streaming():
        for step in range(sequence.shape[-1] - 1):
            logits = _guided_logits(lm, sequence[..., step : step + 1], conditions, sampling.guidance)
            finite &= logits.isfinite().flatten(1).all(1)
            if forced is None:
                token = sample_top_k(logits, noise(step), sampling)
                sequence[..., step + 1] = torch.where(mask[:, step + 1], token, lm.special_token_id)
            if on_step is not None:
                on_step(step)
    return to_frames(lm, sequence, n_frames).masked_fill(~finite[:, None, None], -1)


def to_frames(
    lm: LMModel, sequence: Int[Tensor, "row codebook position"], n_frames: int
) -> Int[Tensor, "row codebook frame"]:
    """Tokens in the order of the music, from the order of the delay pattern (whose first position is the start)."""
    pattern = lm.pattern_provider.get_pattern(n_frames)
    tokens, _, _ = pattern.revert_pattern_sequence(sequence, special_token=-1)
    return tokens[..., :n_frames]


def sampled_positions(lm: LMModel, n_frames: int, device: torch.device) -> Bool[Tensor, "codebook step"]:
    """Which codebooks get a token of the music at which step; the rest of the delay pattern is filled."""
    pattern = lm.pattern_provider.get_pattern(n_frames)
    _, _, mask = pattern.build_pattern_sequence(torch.zeros(1, lm.n_q, n_frames, device=device), 0)
    return mask[:, 1:]


def _guided_logits(
    lm: LMModel, tokens: Tensor, conditions: dict[str, tuple[Tensor, Tensor]], guidance: float
) -> Float[Tensor, "row codebook card"]:
    logits = lm(torch.cat([tokens, tokens]), conditions=[], condition_tensors=conditions)
    cond, uncond = logits[:, :, -1].float().chunk(2)
    return uncond + (cond - uncond) * guidance
