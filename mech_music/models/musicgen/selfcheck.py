"""Is a loaded model what its config and our hook names say? Checked on every model, each time it is loaded.

A few frames of one prompt, along fixed tokens, once through audiocraft's own code and once step by step with every
hook seen. Only one layer's weights are arranged for the CPU (see `linear`) until that is over,
so that the check takes no memory to speak of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models.cache import ActivationCache
from mech_music.models.hooks import BRANCHES, STREAM_POINTS, Hook
from mech_music.models.musicgen.text import PROMPT

if TYPE_CHECKING:
    from mech_music.models.musicgen.model import HookedMusicGen

_FRAMES = 2
_MODULES = ("self_attn", "linear2", "norm2")  # what the hook names stand on
_CROSS_MODULES = ("cross_attention", "norm_cross")  # likewise, where the text is attended to
_ROUNDING = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.1}  # relative, of the logits
_RELEASE = "this release of audiocraft is not supported (1.3.0 is)"


def check_tree(model: HookedMusicGen) -> None:
    """The module tree has what hooks need, and the checkpoint's own config describes it. UserError if not."""
    lm = model.musicgen.lm
    modules = _MODULES + _CROSS_MODULES * model.cross_attention
    for index, layer in enumerate(lm.transformer.layers):
        if lacking := [name for name in modules if getattr(layer, name, None) is None]:
            raise UserError(f"layer {index} has no {lacking[0]}: its branch outputs have no hook names; {_RELEASE}")
        if not layer.norm_first:
            raise UserError(
                f"layer {index} is not pre-norm: its branch outputs are not what enters the residual stream"
            )
    if (config := getattr(lm, "cfg", None)) is None:
        return
    said = config.transformer_lm
    there = {"num_layers": model.n_layers, "dim": model.d_model, "n_q": lm.n_q, "card": lm.card}
    for key, value in there.items():
        if said[key] != value:
            raise UserError(
                f"the checkpoint's config says transformer_lm.{key}={said[key]}, but it is {value}; {_RELEASE}"
            )


@torch.no_grad()
def plain_logits(model: HookedMusicGen, tokens: Tensor) -> Tensor:
    """audiocraft's own forward over all steps at once: ``[half, codebook, step, card]``.

    Outside of streaming, the attention classes of `attention` hand everything to audiocraft's.
    """
    lm = model.musicgen.lm
    pattern = lm.pattern_provider.get_pattern(tokens.shape[-1])
    sequence, _, _ = pattern.build_pattern_sequence(tokens, lm.special_token_id)
    with model._autocast():
        steps = sequence[..., :-1].expand(2, -1, -1)
        return lm(steps, conditions=[], condition_tensors=model.conditions([PROMPT])).float()


def check_pass(model: HookedMusicGen, tokens: Tensor, plain: Tensor) -> None:
    """Every hook is reached, branch outputs add up to the residual stream, and the logits are ``plain``'s."""
    seen: list[Tensor] = []
    handle = model.musicgen.lm.register_forward_hook(lambda *of: seen.append(of[2].float()))
    try:
        names = [name for name, hook in model.hook_dict.items() if hook.point in STREAM_POINTS]
        _, cache = model.run_with_cache(PROMPT, names, duration=_duration(model), forced=tokens)
    except (AttributeError, ValueError) as error:
        raise UserError(f"a hook cannot be read ({type(error).__name__}: {error}); {_RELEASE}") from error
    finally:
        handle.remove()
    for index in range(model.n_layers):
        _check_layer(model, index, cache)
    error = (torch.cat(seen, dim=2) - plain).norm() / plain.norm()
    if not error < _ROUNDING[model.dtype]:
        raise UserError(f"the logits step by step are not audiocraft's own (relative error {error:.2g}); {_RELEASE}")


def _check_layer(model: HookedMusicGen, index: int, cache: ActivationCache) -> None:
    branches = [point for point in BRANCHES if point in model.points]
    at = {point: cache[Hook(index, point).name].float() for point in ("resid_pre", "resid_post", *branches)}
    if any(value.shape != (2, 1, model.n_steps(_duration(model)), model.d_model) for value in at.values()):
        raise UserError(f"layer {index}: a hook's value has another shape than [half, row, step, width]; {_RELEASE}")
    added = at["resid_pre"] + sum(at[point] for point in branches)
    allowed = max(1e-3, 4 * torch.finfo(model.dtype).eps) * at["resid_post"].abs().max().clamp(min=1)
    if not (added - at["resid_post"]).abs().max() <= allowed:
        raise UserError(f"layer {index}: branch outputs do not add up to the residual stream; {_RELEASE}")


def some_tokens(model: HookedMusicGen) -> Tensor:
    """Fixed tokens of a few frames, ``[1, codebook, frame]``."""
    lm: Any = model.musicgen.lm
    count = lm.n_q * _FRAMES
    return rearrange(torch.arange(count, device=model.device) * 7 % lm.card, "(k t) -> 1 k t", t=_FRAMES)


def _duration(model: HookedMusicGen) -> float:
    return (_FRAMES + 0.5) / model.frame_rate
