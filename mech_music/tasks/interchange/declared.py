"""Controls and further metrics of an interchange: each a YAML, in ``conf/`` or in a folder of the user's.

``control/<name>.yaml`` names a technique and says how it is shown; ``metric/<name>.yaml`` names a function and says
what its numbers are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mech_music.base.errors import UserError, first_line, unknown
from mech_music.config.paths import find_config
from mech_music.config.schema import Direction
from mech_music.config.targets import target_of
from mech_music.metrics.metric import Metric
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.results.columns import Role

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Float64

    from mech_music.listeners.protocol import Reading

Declared = TypeVar("Declared")


@dataclass
class _ControlConfig:
    technique: str | None = ""
    concept: str = "desired"
    direction: Direction = Direction.mean
    word: str = ""
    meaning: str = ""
    colour: str = "#777777"
    dash: list[float] = field(default_factory=lambda: [4, 1.5, 1, 1.5, 1, 1.5])
    marker: str = "1"


@dataclass
class _MetricConfig:
    _target_: str = MISSING
    listeners: list[str] = field(default_factory=list)
    desired: bool = False
    unit: str = ""
    meaning: str = ""
    word: str = ""
    also: str = ""
    note: str = ""


@dataclass(frozen=True)
class Control:
    """An edit beside the technique's. ``technique``: its affine map by name, the run's own if it is empty; None for no
    edit and another seed. ``concept``: what it moves towards, ``desired`` or an ``other`` one of its category.
    ``direction``: ``random`` for as far as the edit, in a random direction."""

    role: Role
    technique: str | None
    concept: str
    direction: Direction

    @property
    def drawn(self) -> bool:
        """Whether draws of it differ in their edit; those of any other control are of further seeds."""
        return self.concept == "other" or self.direction is Direction.random


@dataclass(frozen=True)
class Heard:
    """What a metric is measured on: clips of one condition, with the logits, without and with the edit, of the listener
    that hears both concepts.

    ``readings``: of the listeners that the metric's YAML names, the arrays ``[clip, …]`` without and with the edit.
    ``wanted``: what they read of unedited clips of the desired concept, as many as prompts are evaluated; nothing
    unless the YAML says ``desired: true``.
    """

    before: Float[np.ndarray, "clip label"]
    after: Float[np.ndarray, "clip label"]
    original: Concept
    desired: Concept
    prompts: Sequence[Prompt]
    readings: Mapping[str, tuple[Reading, Reading]]
    wanted: Mapping[str, Reading]


@dataclass(frozen=True)
class ExtraMetric:
    """A metric beside the paper's: how it is called, who must have heard the clips, and a number for each of them.

    ``desired``: it compares them with unedited clips of the desired concept.
    """

    metric: Metric
    listeners: tuple[str, ...]
    desired: bool
    measure: Callable[[Heard], Float64[np.ndarray, " clip"]]


def load_control(name: str) -> Control:
    """The control that ``control/<name>.yaml`` declares. UserError if there is none."""
    return _control(find_config("control", name))


@cache
def _control(path: Path) -> Control:
    found = _read(path, _ControlConfig)
    dash = tuple(float(length) for length in found.dash)
    level = found.technique is None
    loose = _loose(found.technique) if found.technique else ()
    role = Role(path.stem, found.word, found.meaning, found.colour, dash, found.marker, level, loose)
    if found.concept not in ("desired", "other"):
        raise UserError(f"'{path}': {unknown('concept', found.concept, ('desired', 'other'))}")
    own = found.concept == "desired" and found.direction is Direction.mean
    if found.technique is None and not own:
        raise UserError(f"'{path}' has no edit that could have a concept or a direction: leave them out, or technique")
    if found.technique == "" and own:
        raise UserError(f"'{path}' names no technique, concept or direction: it would be the effect itself")
    return Control(role, found.technique, found.concept, found.direction)


def _loose(technique: str) -> tuple[str, ...]:
    """A control with a technique of its own serves every technique; and every strength, if it does not use that."""
    uses_strength = "strength" in find_config("technique", technique).read_text()
    return ("technique",) if uses_strength else ("technique", "strength")


def load_metric(name: str) -> ExtraMetric:
    """The metric that ``metric/<name>.yaml`` declares. UserError if there is none, or if its function is not there."""
    found = _read(find_config("metric", name), _MetricConfig)
    metric = Metric(name, found.unit, found.meaning, found.word, found.also, found.note)
    return ExtraMetric(metric, tuple(found.listeners), found.desired, target_of(found._target_))


def _read(path: Path, declares: type[Declared]) -> Declared:
    """What a file declares; read again only where it has changed, as a sweep's every job asks for the same ones."""
    state = path.stat()
    return cast(Declared, _read_once(path, declares, state.st_mtime_ns, state.st_size))


@cache
def _read_once(path: Path, declares: type[Declared], _changed: int, _size: int) -> Declared:
    try:
        merged: Any = OmegaConf.merge(OmegaConf.structured(declares), OmegaConf.load(path))
        return cast(Declared, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise UserError(f"'{path}' cannot be read ({first_line(error)})") from error
