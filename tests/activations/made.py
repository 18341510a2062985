"""A generator whose activations are arithmetic: fast, and every value says where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models.hooks import Hook, all_hooks


class _Arithmetic:
    """Value of a row: a number of its prompt, seed and tokens; plus step, half and layer. Two guidance halves.

    Prompts of equal length are one group. A prompt that has a "!" fails.
    """

    n_layers, d_model, n_heads, n_codebooks, card, halves = 2, 64, 4, 2, 32, 2
    frame_rate, device = 10.0, torch.device("cpu")
    points = ("resid_pre", "attn.z", "attn.pattern", "resid_post")

    def __init__(self) -> None:
        self.passes: list[tuple[str, ...]] = []
        self.guidances: set[float] = set()

    def select_hooks(self, names: Any) -> tuple[Hook, ...]:
        there = {hook.name: hook for hook in all_hooks(self.n_layers, self.points)}
        chosen = [names] if isinstance(names, str) else list(names)
        if odd := [name for name in chosen if name not in there]:
            raise UserError(f"no hook '{odd[0]}'")
        return tuple(there[name] for name in chosen)

    def n_frames(self, duration: float) -> int:
        return int(duration * self.frame_rate)

    def n_steps(self, duration: float) -> int:
        return self.n_frames(duration) + self.n_codebooks - 1

    def row_bytes(self, duration: float) -> int:
        return 1000

    def group_of(self, prompt: str) -> int:
        return len(prompt)

    def to_tokens(self, audio: Tensor, sample_rate: int) -> Tensor:
        assert len(audio) == 1, "one clip at a time"
        return (audio[:, None, : sample_rate // 10] * 10).long().expand(-1, self.n_codebooks, -1)

    def visit(
        self,
        prompts: Sequence[str],
        hooks: Sequence[Hook],
        fn: Callable[[Hook, int, Tensor], Tensor | None],
        **how: Any,
    ) -> Tensor:
        assert len(prompts) >= 8 and len({len(prompt) for prompt in prompts}) == 1
        self.passes.append(tuple(prompts))
        self.guidances.add(how["sampling"].guidance)
        seeds = torch.tensor(how["seeds"])
        shape = (len(prompts), self.n_codebooks, self.n_frames(how["duration"]))
        forced = how.get("forced")
        tokens = (seeds[:, None, None] % self.card).expand(shape) if forced is None else forced
        assert tokens.shape == shape
        identity = number(prompts, seeds, tokens)
        for step in range(self.n_steps(how["duration"])):
            for hook in hooks:
                halves = torch.cat([identity, identity + 0.5]) + step / 1024 + hook.layer / 4
                out = fn(hook, step, halves[:, None, None].expand(-1, 1, self.d_model))
                assert out is None or out.shape == (2 * len(prompts), 1, self.d_model)
        failed = torch.tensor(["!" in prompt for prompt in prompts])
        return tokens.masked_fill(failed[:, None, None], -1)


Arithmetic: Any = _Arithmetic
"""A `Generator` as far as streams ask."""


def number(prompts: Sequence[str], seeds: Tensor, tokens: Tensor) -> Tensor:
    """What tells clips apart, small enough for float16."""
    return torch.tensor([len(p) % 7 for p in prompts]) + seeds % 5 + tokens.flatten(1).float().mean(dim=1) / 64
