"""The words that users type for layers and frames, and what they stand for."""

from __future__ import annotations

import re

from mech_music.config.schema import RunConfig
from mech_music.errors import UserError
from mech_music.models.hooks import Component

LAYER_WORDS = "all, last, together, a number, or numbers joined by + (edited at once)"
_NUMBERS = re.compile(r"\d+(\+\d+)*")
_SLICE = re.compile(r"(?:(\d+(?:\.\d+)?)(s?))?:(?:(\d+(?:\.\d+)?)(s?))?")


def parse_layers(text: str, n_layers: int) -> list[tuple[str, tuple[int, ...]]]:
    """The interventions that ``layer=text`` asks for: a label and the layers edited at once, in the order given.

    ``all`` is one intervention for each layer; ``last`` the last layer; ``together`` every layer at once;
    ``4+5+6`` these three at once; a comma joins several (``0,5,last``). Raises UserError for anything else
    and for a layer beyond the model's depth.
    """
    found: dict[str, tuple[int, ...]] = {}
    for word in (part.strip() for part in text.split(",")):
        for layers in _layer_sets(word, n_layers):
            label = "together" if word == "together" else "+".join(map(str, layers))
            found[label] = layers
    return list(found.items())


def _layer_sets(word: str, n_layers: int) -> list[tuple[int, ...]]:
    if word == "all":
        return [(layer,) for layer in range(n_layers)]
    if word == "last":
        return [(n_layers - 1,)]
    if word == "together":
        return [tuple(range(n_layers))]
    if not _NUMBERS.fullmatch(word):
        raise UserError(f"unknown layer '{word}'; allowed: {LAYER_WORDS}")
    layers = tuple(sorted({int(number) for number in word.split("+")}))
    if layers[-1] >= n_layers:
        raise UserError(f"layer {layers[-1]} does not exist: the model has {n_layers} layers, 0 to {n_layers - 1}")
    return [layers]


def lens_layers(run: RunConfig) -> list[int]:
    """The layers that are read, one at a time. UserError for a set of layers."""
    sets = parse_layers(run.layer, run.model.layers)
    if several := [label for label, layers in sets if len(layers) > 1]:
        raise UserError(f"layer={several[0]}: a lens reads one layer at a time; allowed: all, last, a number, 0,3,5")
    return [layer for _, (layer,) in sets]


def stream_after(component: Component) -> str:
    """The point at which the residual stream is read after a component's output was added to it."""
    mid = {Component.sa: "resid_mid", Component.ca: "resid_mid_cross"}
    return mid.get(component, "resid_post")


def n_steps(run: RunConfig) -> int:
    """Autoregressive steps of one clip: its codec frames (as audiocraft counts them), and the delay pattern's."""
    return int(run.duration * run.model.frame_rate) + run.model.delay


def parse_frames(text: str, n_steps: int, frame_rate: float) -> tuple[int, int] | None:
    """The half-open slice of steps that ``frames=text`` asks for; None for ``all``.

    ``0:50`` counts steps, ``0s:1s`` seconds (``frame_rate`` frames each); a missing end is the clip's own.
    Raises UserError if the text cannot be read, the slice is empty, or it leaves the clip's ``n_steps`` steps.
    """
    if text == "all":
        return None
    match = _SLICE.fullmatch(text.replace(" ", ""))
    if match is None:
        raise UserError(f"cannot read frames '{text}': allowed are all, steps (0:50) and seconds (0s:1s)")
    start = _step(match[1] or "0", match[2], frame_rate, text)
    end = _step(match[3], match[4], frame_rate, text) if match[3] else n_steps
    if not start < end:
        raise UserError(f"frames '{text}' is empty: steps {start} to {end}; the end is not included")
    if end > n_steps:
        raise UserError(f"frames '{text}' ends after the clip, which has {n_steps} steps ({frame_rate:g} a second)")
    return start, end


def _step(number: str, unit: str | None, frame_rate: float, text: str) -> int:
    if unit == "s":
        return round(float(number) * frame_rate)
    if "." in number:
        raise UserError(f"frames '{text}': a step is a whole number; write seconds as {number}s")
    return int(number)
