"""TransformerLens' ways to look into a generation, for any `Generator`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Unpack

import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.models.cache import ActivationCache
from mech_music.models.hooks import Hook, Layout, all_hooks
from mech_music.models.protocol import Generation, NamesFilter, Visit


class HookPoint:
    """What a hook function is told about the value it gets: the hook's name and the step."""

    def __init__(self, name: str, step: int) -> None:
        self.name, self.step = name, step


HookFn = Callable[[Tensor, HookPoint], Tensor | None]


class _Core(Protocol):
    """What of a `Generator` the rest follows from."""

    @property
    def n_layers(self) -> int: ...
    @property
    def n_heads(self) -> int: ...
    @property
    def halves(self) -> int: ...
    @property
    def points(self) -> tuple[str, ...]: ...
    @property
    def frame_rate(self) -> float: ...
    def visit(
        self, prompts: Sequence[str] | str, hooks: Sequence[Hook], fn: Visit, **how: Unpack[Generation]
    ) -> Int[Tensor, "row codebook frame"]: ...


class HookedModel:
    """The part of a `Generator` that follows from its points and its ``visit``; to be inherited."""

    @property
    def hook_dict(self: _Core) -> Mapping[str, Hook]:
        """Every hook of this model by its name, in forward order."""
        return {hook.name: hook for hook in all_hooks(self.n_layers, self.points)}

    @property
    def hook_names(self: _Core) -> tuple[str, ...]:
        """Every hook of this model, in forward order."""
        return tuple(hook.name for hook in all_hooks(self.n_layers, self.points))

    def select_hooks(self: _Core, names: NamesFilter) -> tuple[Hook, ...]:
        """The hooks that a name, a list of names or a predicate selects, in forward order."""
        return _select(self, names)

    def n_frames(self: _Core, duration: float) -> int:
        """Frames in ``duration`` seconds, a part of one not counted. UserError if there are none."""
        if not math.isfinite(duration) or duration * self.frame_rate < 1:
            raise UserError(f"duration={duration:g}: expected seconds, at least {1 / self.frame_rate:g} (one frame)")
        return int(duration * self.frame_rate)

    def run_with_cache(
        self: _Core, prompts: Sequence[str] | str, names_filter: NamesFilter = None, **how: Unpack[Generation]
    ) -> tuple[Int[Tensor, "row codebook frame"], ActivationCache]:
        """Generate, and return the tokens and the values of the chosen hooks at every step."""
        hooks = _select(self, names_filter)
        seen: dict[Hook, list[Tensor]] = {hook: [] for hook in hooks}

        def keep(hook: Hook, step: int, value: Tensor) -> None:
            if hook.layout is not Layout.text or step == 0:
                seen[hook].append(by_half(self, hook, value).clone())

        tokens = self.visit(prompts, hooks, keep, **how)
        values = {hook.name: _all_steps(hook.layout, parts) for hook, parts in seen.items()}
        return tokens, ActivationCache(values, self.n_layers)

    def run_with_hooks(
        self: _Core,
        prompts: Sequence[str] | str,
        fwd_hooks: Sequence[tuple[NamesFilter, HookFn]],
        **how: Unpack[Generation],
    ) -> Int[Tensor, "row codebook frame"]:
        """Generate with functions on hooks: ``fn(value, hook)`` returns a new value, or None to only look.

        ``value`` is ``[half, row, d_model]`` of one step, the conditional half first; within attention `by_half`.
        """
        functions: dict[Hook, list[HookFn]] = {}
        for names, fn in fwd_hooks:
            for hook in _select(self, names):
                functions.setdefault(hook, []).append(fn)

        def apply(hook: Hook, step: int, value: Tensor) -> Tensor | None:
            current, changed = by_half(self, hook, value), False
            for fn in functions[hook]:
                out = fn(current, HookPoint(hook.name, step))
                if out is not None:
                    _must_fit(hook, out, current)
                    current, changed = out, True
            return current.to(value.dtype).reshape(value.shape) if changed else None

        return self.visit(prompts, tuple(sorted(functions)), apply, **how)


def _select(model: _Core, names: NamesFilter) -> tuple[Hook, ...]:
    if names is None:
        return all_hooks(model.n_layers, model.points)
    if callable(names):
        return tuple(hook for hook in all_hooks(model.n_layers, model.points) if names(hook.name))
    hooks = tuple(sorted({Hook.parse(name) for name in ([names] if isinstance(names, str) else names)}))
    for hook in hooks:
        if hook.layer >= model.n_layers:
            raise UserError(f"hook '{hook.name}': this model has layers 0 to {model.n_layers - 1}")
        if hook.point not in model.points:
            lacks = "no cross-attention" if "cross" in hook.point else "no such point"
            raise UserError(f"hook '{hook.name}': this model has {lacks}; its points are {', '.join(model.points)}")
    return hooks


def by_half(generator: _Core, hook: Hook, value: Tensor) -> Tensor:
    """A hook's value at one step as people see it.

    ``[half, row, d_model]``; ``[half, row, head, d_head]`` for q, k, v and z (k and v of cross-attention
    ``[half, row, token, head, d_head]``); ``[half, row, head, key]`` for a pattern.
    """
    halves = value.unflatten(0, (generator.halves, -1))
    if hook.layout is Layout.pattern:
        return halves
    if hook.layout is Layout.stream:
        return halves[:, :, 0]
    heads = halves.unflatten(-1, (generator.n_heads, -1))
    return heads if hook.layout is Layout.text else heads[:, :, 0]


def _all_steps(layout: Layout, values: Sequence[Tensor]) -> Tensor:
    """The values of all steps: a dimension more, after the rows (after the heads, in a pattern)."""
    if layout is Layout.text:
        return values[0]
    if layout is not Layout.pattern:
        return torch.stack(list(values), dim=2)
    keys = max(value.shape[-1] for value in values)
    return torch.stack([torch.nn.functional.pad(value, (0, keys - value.shape[-1])) for value in values], dim=3)


def _must_fit(hook: Hook, out: object, wanted: Tensor) -> None:
    if isinstance(out, Tensor) and out.shape == wanted.shape:
        return
    given = f"a tensor of shape {list(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
    raise UserError(
        f"hook '{hook.name}': its function returned {given}, expected a tensor of shape {list(wanted.shape)}, or None"
    )
