"""audiocraft's streaming attention without the work it repeats at every step.

audiocraft projects the text's keys and values again at each autoregressive step and grows the
self-attention cache by concatenation. These two subclasses keep the first and preallocate the
second. They replace the class of the modules in place, so the module tree, the parameters, the
hooks and the arithmetic stay audiocraft's own; only repetition goes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mech_music.quiet import quiet_imports

with quiet_imports():
    from audiocraft.modules.transformer import StreamingMultiheadAttention

_FIRST_CAPACITY = 64


class KeptCrossAttention(StreamingMultiheadAttention):
    """Cross-attention that projects the conditioning once per generation."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any):
        if not self._is_streaming:
            return super().forward(query, key, value, *args, **kwargs)
        state, d_model = self._streaming_state, self.embed_dim
        if "kept_keys" not in state:
            keys_values = nn.functional.linear(key, self.in_proj_weight[d_model:], self._bias(d_model, None))
            state["kept_keys"], state["kept_values"] = (self._split_heads(x) for x in keys_values.chunk(2, dim=-1))
        q = self._split_heads(nn.functional.linear(query, self.in_proj_weight[:d_model], self._bias(0, d_model)))
        out = nn.functional.scaled_dot_product_attention(q, state["kept_keys"], state["kept_values"])
        return self.out_proj(out.transpose(1, 2).flatten(2)), None

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _bias(self, start: int, stop: int | None) -> Tensor | None:
        return None if self.in_proj_bias is None else self.in_proj_bias[start:stop]


class PreallocatedSelfAttention(StreamingMultiheadAttention):
    """Self-attention whose cache is written in place and doubled when it is full."""

    def _complete_kv(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if not self._is_streaming:
            return super()._complete_kv(k, v)
        past = self._streaming_state.get("past_keys")
        length = 0 if past is None else past.shape[2]
        keys, values = (self._append(name, x, length) for name, x in (("keys", k), ("values", v)))
        return keys, values

    def _append(self, name: str, x: Tensor, length: int) -> Tensor:
        state, total = self._streaming_state, length + x.shape[2]
        buffer = state.get(f"buffer_{name}")
        if buffer is None or buffer.shape[2] < total:
            capacity = max(_FIRST_CAPACITY, 2 * length, total)
            grown = x.new_empty(*x.shape[:2], capacity, x.shape[3])
            if buffer is not None:
                grown[:, :, :length] = buffer[:, :, :length]
            buffer = state[f"buffer_{name}"] = grown
        buffer[:, :, length:total] = x
        state[f"past_{name}"] = buffer[:, :, :total]
        return state[f"past_{name}"]


def keep_attention_caches(lm: nn.Module) -> None:
    """Switch the attention modules of an audiocraft ``LMModel`` to the classes above.

    Layers whose attention is not the plain memory-efficient kind of the published checkpoints
    (query-key norms, rotary embedding, repeated keys, limited context) keep audiocraft's code.
    """
    for layer in lm.transformer.layers:  # type: ignore[union-attr]
        for attention, kind in (
            (layer.self_attn, PreallocatedSelfAttention),
            (layer.cross_attention, KeptCrossAttention),
        ):
            if type(attention) is StreamingMultiheadAttention and _is_plain(attention):
                attention.__class__ = kind


def _is_plain(attention: StreamingMultiheadAttention) -> bool:
    return (
        attention.memory_efficient
        and not attention.qk_layer_norm
        and attention.rope is None
        and attention.kv_repeat == 1
        and attention.past_context is None
        and not (attention.attention_as_float32 and attention.out_proj.weight.dtype != torch.float32)
    )
