"""Where activations are patched: outputs of components or of their heads, and paths from one component to another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mech_music.base.errors import UserError, unknown
from mech_music.config.axes import check_component, parse_heads, parse_layers
from mech_music.config.schema import ModelConfig
from mech_music.models.hooks import BRANCHES, Component, Hook, all_hooks

_END = re.compile(r"(sa|ca|mlp)(\d*)")
PATH_WORDS = "sender-receiver, such as ca4-mlp6; several of either joined by + (ca2+ca4-mlp6), ca for all its layers"


@dataclass(frozen=True)
class Site:
    """A component's output in some layers at once (``hooks``), that of some of its ``heads``, or its path to the
    ``receiver`` alone.

    ``held``: what keeps its unpatched value on the way: every branch between the two, and the end of the model.
    ``head``: the heads' label.
    """

    component: str
    layer: str
    hooks: tuple[Hook, ...]
    receiver: Hook | None = None
    held: tuple[Hook, ...] = ()
    head: str = ""
    heads: tuple[int, ...] | None = None

    @property
    def to(self) -> str:
        """``mlp6``; empty where there is no receiver."""
        return "" if self.receiver is None else _name(self.receiver)


def parse_sites(component: str, layer: str, model: ModelConfig) -> list[Site]:
    """Every component of ``component`` in every set of layers of ``layer``. UserError for what does not exist."""
    layers = parse_layers(layer, model.layers)
    return [
        Site(one.value, label, tuple(Hook(number, one.point) for number in numbers))
        for one in _components(component, model)
        for label, numbers in layers
    ]


def parse_heads_of(component: str, layer: str, head: str, model: ModelConfig) -> list[Site]:
    """The sets of heads of ``head`` in every attention of ``component`` and set of layers of ``layer``.

    ``all`` components are those that have heads. UserError for one that has none, and for what does not exist.
    """
    found, layers, sets = _components(component, model), parse_layers(layer, model.layers), parse_heads(head, model)
    if component != "all" and (without := [one.value for one in found if one.heads_point is None]):
        raise UserError(f"head={head}: component={without[0]} has no heads; allowed with head: sa, ca")
    return [
        Site(one.value, label, tuple(Hook(number, one.heads_point) for number in numbers), head=name, heads=heads)
        for one in found
        if one.heads_point is not None
        for label, numbers in layers
        for name, heads in sets
    ]


def parse_paths(text: str, model: ModelConfig) -> list[Site]:
    """``ca4-mlp6``: every sender before the ``-`` with every receiver behind it that comes later in the model.

    UserError for what is no path, does not exist, or leaves no receiver after any sender.
    """
    ends = text.split("-")
    if len(ends) != 2:
        raise UserError(f"path={text}: expected {PATH_WORDS}")
    senders, receivers = (_ends(text, end, model) for end in ends)
    paths = [_path(a, b, model) for a in senders for b in receivers if a < b]
    if not paths:
        raise UserError(f"path={text}: the sender comes after the receiver; allowed: a receiver later in the model")
    return paths


def everywhere(model: ModelConfig, heads: bool = False) -> tuple[Hook, ...]:
    """The output of every branch of every layer, or of every attention's ``heads``, in forward order."""
    own = [one for one in Component if model.cross_attention or one is not Component.ca]
    if heads:
        return all_hooks(model.layers, [one.heads_point for one in own if one.heads_point is not None])
    return all_hooks(model.layers, [one.point for one in own if one.point in BRANCHES])


def _components(text: str, model: ModelConfig) -> list[Component]:
    if text == "all":
        return [one for one in Component if model.cross_attention or one is not Component.ca]
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in list(Component):
            raise UserError(unknown("component", name, ["all", *Component]))
        check_component(Component(name), model)
    return [Component(name) for name in dict.fromkeys(names)]


def _ends(path: str, text: str, model: ModelConfig) -> list[Hook]:
    """The outputs that one side of a path names."""
    found: list[Hook] = []
    for word in text.split("+"):
        match = _END.fullmatch(word.strip())
        if match is None:
            raise UserError(f"path={path}: cannot read '{word}': expected {PATH_WORDS}; components sa, ca, mlp")
        component = Component(match[1])
        check_component(component, model)
        layers = [layer for _, (layer,) in parse_layers(match[2] or "all", model.layers)]
        found += [Hook(layer, component.point) for layer in layers]
    return list(dict.fromkeys(found))


def _path(sender: Hook, receiver: Hook, model: ModelConfig) -> Site:
    between = [hook for hook in everywhere(model) if sender < hook < receiver]
    end = Hook(model.layers - 1, Component.resid.point)
    return Site(_component(sender), str(sender.layer), (sender,), receiver, (*between, end))


def _component(hook: Hook) -> str:
    return next(one.value for one in Component if one.point == hook.point)


def _name(hook: Hook) -> str:
    return f"{_component(hook)}{hook.layer}"


def receivers_in_order(names: Sequence[str]) -> list[str]:
    """Receivers by their place in the model."""
    points = {one.value: one.point for one in Component}

    def place(name: str) -> Hook:
        match = _END.fullmatch(name)
        return Hook(int(match[2]), points[match[1]]) if match else Hook(-1, BRANCHES[0])

    return sorted(set(names), key=place)
