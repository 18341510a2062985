"""audiocraft's streaming attention without the work it repeats at every step.

audiocraft projects the text's keys and values again at each autoregressive step and grows the
self-attention cache by concatenation. The two subclasses here keep the first and preallocate the
second. They replace the class of the modules in place, so the module tree, the parameters, the
hooks and the arithmetic stay audiocraft's own; only repetition goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mech_music.models.hooks import IN_ATTENTION, Hook
from mech_music.models.musicgen.imports import audiocraft_imports
from mech_music.models.musicgen.linear import product

with audiocraft_imports():
    from audiocraft.modules import transformer
    from audiocraft.modules.transformer import StreamingMultiheadAttention


def attend(
    query: Float[Tensor, "row head query d_head"],
    keys: Float[Tensor, "row head key d_head"],
    values: Float[Tensor, "row head key d_head"],
    allowed: Bool[Tensor, " key"] | None = None,
) -> Float[Tensor, "row head query d_head"]:
    """Softmax attention: of one step's query (to the ``allowed`` keys), or causal, of as many queries as keys.

    On a CPU not by ``scaled_dot_product_attention``: with several threads the last bits of its result
    depend on the number of rows, and a row must not know how many others are in its pass.
    """
    causal = query.shape[2] > 1
    if query.device.type != "cpu":
        mask = None if allowed is None else allowed[None, None, None]
        return nn.functional.scaled_dot_product_attention(query, keys, values, mask, is_causal=causal)
    if causal:  # row by row: the scores of all of them at once would not fit
        rows = zip(query.split(1), keys.split(1), values.split(1), strict=True)
        return torch.cat([_attend(*row, causal) for row in rows])
    return _attend(query, keys, values, allowed=allowed)


def _attend(query: Tensor, keys: Tensor, values: Tensor, causal: bool = False, allowed: Tensor | None = None) -> Tensor:
    return torch.matmul(_pattern(query, keys, causal, allowed), values)


def _pattern(
    query: Tensor, keys: Tensor, causal: bool, allowed: Tensor | None = None
) -> Float[Tensor, "row head query key"]:
    scores = torch.matmul(query * query.shape[-1] ** -0.5, keys.transpose(-1, -2))
    if causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(future, -torch.inf)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    return scores.softmax(dim=-1)


class _OneStepAttention(StreamingMultiheadAttention):
    """What is a step of a generation takes the short way here; everything else audiocraft's own.

    ``offered``: which of q, k, v, pattern and z pass through their own identity module (``hook_q`` …), where nnsight
    finds them; none of them does as long as nobody asks (`offering`).
    """

    offered: frozenset[str] = frozenset()

    def _is_step(self, query: Tensor) -> bool:
        return query.shape[1] == 1

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any):
        if not (self._is_streaming and self._is_step(query)):
            return super().forward(query, key, value, *args, **kwargs)
        parts = self._query_keys_values(query, key)
        out = self._attend_by_pattern(*parts) if "pattern" in self.offered else attend(*parts)
        return self.out_proj(self._offer("z", _joined(out))), None

    def _get_mask(self, current_steps: int, device: torch.device, dtype: torch.dtype) -> Any:
        """Where torch attends, audiocraft only asks whether there is a mask, but loads xformers to make it."""
        ours = self.memory_efficient and transformer._efficient_attention_backend == "torch"
        if not ours or "past_keys" in self._streaming_state:
            return super()._get_mask(current_steps, device, dtype)
        return torch.empty(0, dtype=dtype, device=device) if current_steps > 1 else None

    def _offer(self, name: str, x: Tensor) -> Tensor:
        return getattr(self, f"hook_{name}")(x) if name in self.offered else x

    def _attend_by_pattern(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """As `attend` on a CPU, with the pattern of the last query offered in between."""
        causal = q.shape[2] > 1
        parts = list(zip(q.split(1), k.split(1), v.split(1), strict=True)) if causal else [(q, k, v)]
        last = torch.cat([_pattern(q, k, causal)[:, :, -1] for q, k, _ in parts])
        found = []
        for (q, k, v), mine in zip(parts, self._offer("pattern", last).split(len(parts[0][0])), strict=True):
            weights = _pattern(q, k, causal)
            weights[:, :, -1] = mine
            found.append(torch.matmul(weights, v))
        return torch.cat(found)

    def _query_keys_values(self, query: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raise NotImplementedError

    def project(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Parts ``start`` to ``stop`` of (query, key, value), as audiocraft stacks them in one weight."""
        rows = slice(start * self.embed_dim, stop * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[rows]
        return product(self, x, self.in_proj_weight[rows], bias, part=(start, stop))

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _joined(x: Float[Tensor, "row head position d_head"]) -> Float[Tensor, "row position head_d_head"]:
    return x.transpose(1, 2).flatten(2)


class KeptCrossAttention(_OneStepAttention):
    """Cross-attention that projects the conditioning once per generation."""

    def _query_keys_values(self, query: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        state = self._streaming_state
        if "kept_keys" not in state:
            for name, part in zip(("kept_keys", "kept_values"), self.project(source, 1, 3).chunk(2, -1), strict=True):
                state[name] = self.heads(part).contiguous()
        q = self.heads(self._offer("q", self.project(query, 0, 1)))
        return q, self._offer_kept("k", state["kept_keys"]), self._offer_kept("v", state["kept_values"])

    def _offer_kept(self, name: str, kept: Tensor) -> Tensor:
        """What is put in its place acts on this step; the next is offered what was kept."""
        return self.heads(self._offer(name, _joined(kept))).contiguous() if name in self.offered else kept


class PreallocatedSelfAttention(_OneStepAttention):
    """Self-attention whose cache has its full length from the first step and is written in place.

    ``n_steps`` (with what stands before the music) is set before a generation (`expect_steps`); one that goes on for
    longer gets a longer cache.
    """

    n_steps: int = 0

    def _is_step(self, query: Tensor) -> bool:
        """The first step may bring what stands before the music with it."""
        return query.shape[1] == 1 or "past_keys" not in self._streaming_state

    def _query_keys_values(self, query: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = zip(("q", "k", "v"), self.project(source, 0, 3).chunk(3, -1), strict=True)
        q, k, v = (self.heads(self._offer(name, part)) for name, part in parts)
        return q, *self._complete_kv(k, v)

    def _complete_kv(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if not self._is_streaming:
            return super()._complete_kv(k, v)
        return self._append("keys", k), self._append("values", v)

    def _append(self, name: str, x: Tensor) -> Tensor:
        state = self._streaming_state
        past, buffer = state.get(f"past_{name}"), state.get(f"buffer_{name}")
        length = 0 if past is None else past.shape[2]
        total = length + x.shape[2]
        if buffer is None or buffer.shape[2] < total:
            buffer = x.new_empty(*x.shape[:2], max(self.n_steps, 2 * length, total), x.shape[3])
            if past is not None:
                buffer[:, :, :length] = past
            state[f"buffer_{name}"] = buffer
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
                for name in IN_ATTENTION:
                    setattr(attention, f"hook_{name}", nn.Identity())


def has_head_hooks(lm: nn.Module) -> bool:
    """Whether q, k, v, pattern and z can be hooked: not where audiocraft's own code runs."""
    return all(isinstance(attention, _OneStepAttention) for attention in _attentions(lm))


@contextmanager
def offering(lm: nn.Module, hooks: Iterable[Hook]) -> Iterator[None]:
    """Within, attention offers what these hooks ask for."""
    asked: dict[Any, set[str]] = {}
    for hook in hooks:
        module, _, name = hook.point.rpartition(".")
        if module:
            layer: Any = lm.transformer.layers[hook.layer]  # type: ignore[union-attr,index]
            asked.setdefault(layer.self_attn if module == "attn" else layer.cross_attention, set()).add(name)
    try:
        for attention, names in asked.items():
            attention.offered = frozenset(names)
        yield
    finally:
        for attention in asked:
            attention.offered = frozenset()


def _attentions(lm: nn.Module) -> list[nn.Module]:
    both = [(layer.self_attn, layer.cross_attention) for layer in lm.transformer.layers]  # type: ignore[union-attr]
    return [attention for pair in both for attention in pair if attention is not None]


def expect_steps(lm: nn.Module, n_steps: int) -> None:
    """Tell the self-attention of every layer how many steps the next generation has."""
    for layer in lm.transformer.layers:  # type: ignore[union-attr]
        if isinstance(layer.self_attn, PreallocatedSelfAttention):
            layer.self_attn.n_steps = n_steps


def _is_plain(attention: StreamingMultiheadAttention) -> bool:
    return (
        attention.memory_efficient
        and not attention.qk_layer_norm
        and attention.rope is None
        and attention.kv_repeat == 1
        and attention.past_context is None
        and not (attention.attention_as_float32 and attention.out_proj.weight.dtype != torch.float32)
    )
