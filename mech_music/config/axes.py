"""The words that users type for layers and frames, and what they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mech_music.base.errors import UserError, unknown
from mech_music.config.schema import LensConfig, ModelConfig, RunConfig
from mech_music.models.hooks import Component
from mech_music.prompts.concepts import Concept
from mech_music.prompts.prompt_set import PromptSet

_PART = re.compile(r"(\d+)(?::([^\s:]+))?")
LAYER_WORDS = "all, last, together, a number, or numbers joined by + (edited at once)"
HEAD_WORDS = "all, a number, or numbers joined by + (edited at once)"
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
    return [_numbers("layer", word, n_layers, LAYER_WORDS)]


def _numbers(kind: str, word: str, n: int, allowed: str) -> tuple[int, ...]:
    """``4+5+6``. UserError for what is no number, or one that the model does not have."""
    if not _NUMBERS.fullmatch(word):
        raise UserError(f"unknown {kind} '{word}'; allowed: {allowed}")
    numbers = tuple(sorted({int(number) for number in word.split("+")}))
    if numbers[-1] >= n:
        raise UserError(f"{kind} {numbers[-1]} does not exist: the model has {n} {kind}s, 0 to {n - 1}")
    return numbers


def parse_parts(text: str, n_layers: int) -> list[tuple[str, dict[int, str]]]:
    """`parse_layers` with a technique behind some layers: ``3:steer+5:ablate`` edits both at once, each in its way.

    A label, and the technique's name by layer, empty where none is given. UserError as there, and for a layer that is
    named twice.
    """
    found: dict[str, dict[int, str]] = {}
    for word in (part.strip() for part in text.split(",")):
        if ":" not in word:
            found |= {label: dict.fromkeys(layers, "") for label, layers in parse_layers(word, n_layers)}
            continue
        told = [_PART.fullmatch(part.strip()) for part in word.split("+")]
        if not all(told):
            raise UserError(f"layer={word}: expected a number and a technique for each layer, such as 3:steer+5:ablate")
        parts = [(_numbers("layer", one[1], n_layers, LAYER_WORDS)[0], one[2] or "") for one in told if one]
        if len(dict(parts)) < len(parts):
            raise UserError(f"layer={word}: a layer is named twice; allowed: each once, with one technique")
        parts.sort()
        found["+".join(f"{layer}:{technique}" if technique else f"{layer}" for layer, technique in parts)] = dict(parts)
    return list(found.items())


def parse_heads(text: str, model: ModelConfig) -> list[tuple[str, tuple[int, ...]]]:
    """The sets of heads that ``head=text`` asks for, each with a label: ``all`` is one for each head.

    UserError for a head that the model does not have, and for a model whose config does not say how many there are.
    """
    if not model.heads:
        raise UserError(
            f"head={text}: the config of model '{model.name}' does not say how many heads it has: add model.heads"
        )
    every = [(head,) for head in range(model.heads)]
    sets = [
        heads
        for word in (part.strip() for part in text.split(","))
        for heads in (every if word == "all" else [_numbers("head", word, model.heads, HEAD_WORDS)])
    ]
    return [("+".join(map(str, heads)), heads) for heads in dict.fromkeys(sets)]


def single_layers(text: str, n_layers: int) -> list[int]:
    """The layers that are read, one at a time. UserError for a set of layers."""
    sets = parse_layers(text, n_layers)
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


# -- what types cannot check --------------------------------------------------------------------------------


def check_component(component: Component, model: ModelConfig) -> None:
    """UserError for cross-attention in a model that has none."""
    if component is Component.ca and not model.cross_attention:
        others = ", ".join(component for component in Component if component is not Component.ca)
        raise UserError(
            f"component=ca: model '{model.name}' has no cross-attention, its text stands before the music; "
            f"allowed: {others}"
        )


def check_prompts(n: int, study: PromptSet, concepts: Iterable[Concept]) -> None:
    """UserError for concepts that have fewer prompts than ``n``."""
    for concept in dict.fromkeys(concepts):
        study.concept_prompts(concept, n)


MOST_CLIPS = 1_000_000
"""That anything is trained on: planned as rows, which take half a kilobyte each."""


def check_lens(lens: LensConfig, study: PromptSet) -> None:
    """UserError for a lens that does not exist or cannot be trained."""
    if lens.name not in ("decoder", "tuned"):
        raise UserError(unknown("lens", lens.name, ("decoder", "tuned")))
    for key, least in (("clips", 2), ("steps", 0), ("epochs", 1)):
        if (value := getattr(lens, key)) < least:
            raise UserError(f"lens.{key}={value}: expected {least} or more")
    if lens.clips > MOST_CLIPS:
        raise UserError(f"lens.clips={lens.clips}: expected at most {MOST_CLIPS}")
    if lens.seed < 0:
        raise UserError(f"lens.seed={lens.seed}: expected 0 or more")
    most = len(study.every_prompt) // 2
    if not 2 <= lens.held_out <= most:
        raise UserError(f"lens.held_out={lens.held_out}: expected 2 to {most} (other prompts are trained on)")
