"""The autoregressive loop: text conditions in, codec tokens out.

The arithmetic is that of audiocraft's ``LMModel.generate`` (delay pattern, guidance as a doubled
batch, top-k sampling), with one difference: each row has its own random stream, so that a row's
tokens do not depend on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.models.musicgen.attention import expect_steps
from mech_music.models.musicgen.delay import to_frames
from mech_music.models.musicgen.imports import audiocraft_imports
from mech_music.models.sampling import RowNoise, Sampling, sample_top_k

with audiocraft_imports():
    from audiocraft.models.lm import LMModel

Conditions = dict[str, tuple[Tensor, Tensor]]
"""By conditioner: ``[half·row, position, d_model]`` and the mask."""


@torch.no_grad()
def decode(
    lm: LMModel,
    conditions: Conditions,
    noise: RowNoise,
    n_frames: int,
    sampling: Sampling,
    forced: Int[Tensor, "#row codebook frame"] | None = None,
    on_step: Callable[[int], None] | None = None,
    prefix: Int[Tensor, "#row codebook given"] | None = None,
) -> Int[Tensor, "row codebook frame"]:
    """Generate ``n_frames`` frames of tokens for every row.

    ``conditions``: the fused text conditions of the doubled batch (conditional half first).
    ``forced``: tokens to read along instead of sampling (teacher forcing). ``prefix``: those of the first frames,
    −1 where a row has none; each later token is drawn with the noise of its own step.
    A row with a non-finite logit at any step is returned as −1 throughout.
    """
    pattern = lm.pattern_provider.get_pattern(n_frames)
    rows = next(iter(conditions.values()))[0].shape[0] // 2
    device = next(iter(conditions.values()))[0].device
    given = torch.full((rows, lm.n_q, n_frames), -1, dtype=torch.long, device=device)
    for known in (prefix, forced):
        if known is not None:
            given[..., : known.shape[-1]] = known
    sequence, _, _ = pattern.build_pattern_sequence(given, lm.special_token_id)
    finite = torch.ones(rows, dtype=torch.bool, device=device)
    expect_steps(lm, prefix_length(lm, conditions) + sequence.shape[-1] - 1)
    with lm.streaming():
        for step in range(sequence.shape[-1] - 1):
            logits = _guided_logits(lm, sequence[..., step : step + 1], conditions, sampling.guidance)
            finite &= logits.isfinite().flatten(1).all(1)
            if forced is None:
                token = sample_top_k(logits, noise(step), sampling)
                given = sequence[..., step + 1]
                sequence[..., step + 1] = torch.where(given < 0, token, given)
            if on_step is not None:
                on_step(step)
    return to_frames(lm, sequence, n_frames).masked_fill(~finite[:, None, None], -1)


def prefix_length(lm: LMModel, conditions: Conditions) -> int:
    """Positions that conditions take before the music (none where they are attended to)."""
    return sum(conditions[name][0].shape[1] for name in lm.fuser.fuse2cond["prepend"])


def _guided_logits(
    lm: LMModel, tokens: Tensor, conditions: Conditions, guidance: float
) -> Float[Tensor, "row codebook card"]:
    logits = lm(torch.cat([tokens, tokens]), conditions=[], condition_tensors=conditions)
    return guided(logits[:, :, -1], guidance)


def guided(logits: Float[Tensor, "half_row ..."], guidance: float) -> Float[Tensor, "row ..."]:
    """Classifier-free guidance, in float32: ``uncond + guidance · (cond − uncond)``."""
    cond, uncond = logits.float().chunk(2)
    return uncond + (cond - uncond) * guidance


@torch.no_grad()
def forced_logits(
    lm: LMModel, conditions: Conditions, tokens: Int[Tensor, "row codebook frame"], guidance: float
) -> Float[Tensor, "row codebook frame card"]:
    """The guided logits that each token is sampled from, given those before it; one forward pass over all steps."""
    pattern = lm.pattern_provider.get_pattern(tokens.shape[-1])
    sequence, _, _ = pattern.build_pattern_sequence(tokens, lm.special_token_id)
    steps = sequence[..., :-1]
    logits = lm(torch.cat([steps, steps]), conditions=[], condition_tensors=conditions)
    by_step = rearrange(guided(logits, guidance), "row codebook step card -> row card codebook step")
    by_frame, _, _ = pattern.revert_pattern_logits(by_step, float("nan"))
    return rearrange(by_frame, "row card codebook frame -> row codebook frame card")
