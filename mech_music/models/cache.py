"""What `run_with_cache` has seen, under the names that people know from TransformerLens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.models.hooks import IN_ATTENTION, Hook, Layout

Key = str | tuple[str, int] | tuple[str, int, str]
_STEP = {Layout.stream: 2, Layout.heads: 2, Layout.pattern: 3}  # the dimension of steps; keys of the text have none
_ROW = 1


class ActivationCache:
    """By hook: ``cache["blocks.3.hook_resid_post"]``, ``cache["resid_post", 3]`` or ``cache["z", 3, "cross_attn"]``.

    Shapes, the conditional half first: the residual stream and branches ``[half, row, step, d_model]``; q, k, v and z
    ``[half, row, step, head, d_head]`` (k and v of cross-attention ``[half, row, token, head, d_head]``, the same at
    every step); pattern ``[half, row, head, step, key]``, 0 at keys that come after the step.

    Args:
        n_layers: of the model, so that layer −1 is its last one.
    """

    def __init__(self, values: Mapping[str, Tensor], n_layers: int) -> None:
        self._values, self.n_layers = dict(values), n_layers

    def __getitem__(self, key: Key) -> Tensor:
        """UserError for what was not cached."""
        name = self._name(key)
        if name not in self._values:
            raise UserError(f"the cache has no '{name}': it has {', '.join(self._values) or 'nothing'}")
        return self._values[name]

    def _name(self, key: Key) -> str:
        if isinstance(key, str):
            return key
        point, layer, *module = key
        if not -self.n_layers <= layer < self.n_layers:
            raise UserError(f"layer {layer} does not exist: this model has layers 0 to {self.n_layers - 1}")
        return Hook(layer % self.n_layers, _point(point, *module)).name

    def __contains__(self, key: Key) -> bool:
        return self._name(key) in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> tuple[str, ...]:
        """The hooks' names, in forward order."""
        return tuple(self._values)

    def values(self) -> tuple[Tensor, ...]:
        return tuple(self._values.values())

    def items(self) -> tuple[tuple[str, Tensor], ...]:
        return tuple(self._values.items())

    def __repr__(self) -> str:
        return f"ActivationCache({len(self)} hooks: {', '.join(self._values)})"

    # -- parts ---------------------------------------------------------------------------------

    @property
    def steps(self) -> Part:
        """``cache.steps[10:20]``: a cache of these steps."""
        return Part(self, of_steps=True)

    @property
    def rows(self) -> Part:
        """``cache.rows[:4]``: a cache of these rows."""
        return Part(self, of_steps=False)

    def stack(self, point: str, module: str = "attn") -> Shaped[Tensor, "layer half row *rest"]:
        """One point of all cached layers: ``stack("resid_post")``, ``stack("z", "cross_attn")``. UserError if none."""
        wanted = _point(point, module)
        found = [value for name, value in self.items() if Hook.parse(name).point == wanted]
        if not found:
            raise UserError(f"the cache has no '{wanted}' of any layer: it has {', '.join(self._values) or 'nothing'}")
        return torch.stack(found)

    # -- where it lies -------------------------------------------------------------------------

    def to(self, device: torch.device | str) -> ActivationCache:
        """The same on a device."""
        return ActivationCache({name: value.to(device) for name, value in self.items()}, self.n_layers)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; it is there whole or not at all. UserError if it cannot be written."""
        tensors = {name: value.contiguous() for name, value in self.items()}
        with replacing(Path(path)) as partial:
            save_file(tensors, partial, metadata={"n_layers": str(self.n_layers)})

    @classmethod
    def load(cls, path: str | Path) -> ActivationCache:
        """Read what `save` wrote, in forward order. UserError for any other file."""
        try:
            with safe_open(path, framework="pt") as file:
                n_layers = int((file.metadata() or {})["n_layers"])
                hooks = sorted(Hook.parse(name) for name in file.keys())  # noqa: SIM118 (no mapping)
                return cls({hook.name: file.get_tensor(hook.name) for hook in hooks}, n_layers)
        except (OSError, SafetensorError, KeyError, ValueError, UserError) as error:
            raise UserError(
                f"'{path}' holds no activations ({first_line(error)}): give a file that save wrote"
            ) from None


@dataclass(frozen=True)
class Part:
    """Steps or rows of a cache, by a slice, a number (the dimension stays) or a list of numbers."""

    cache: ActivationCache
    of_steps: bool

    def __getitem__(self, which: slice | int | list[int]) -> ActivationCache:
        chosen = [which] if isinstance(which, int) else which
        cut = {name: self._cut(Hook.parse(name).layout, value, chosen) for name, value in self.cache.items()}
        return ActivationCache(cut, self.cache.n_layers)

    def _cut(self, layout: Layout, value: Tensor, chosen: slice | list[int]) -> Tensor:
        dim = _STEP.get(layout) if self.of_steps else _ROW
        if dim is None:
            return value
        try:
            return value[(slice(None),) * dim + (chosen,)]
        except IndexError:
            what = "step" if self.of_steps else "row"
            raise UserError(f"the cache has {what}s 0 to {value.shape[dim] - 1}, not {chosen}") from None


def _point(point: str, module: str = "attn") -> str:
    """``z`` stands within attention; other points do not."""
    if module not in ("attn", "cross_attn"):
        raise UserError(f"unknown part of a layer '{module}': expected attn or cross_attn")
    return f"{module}.{point}" if point in IN_ATTENTION else point
