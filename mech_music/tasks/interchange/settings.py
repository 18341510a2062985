"""The axes of an interchange."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from omegaconf import MISSING

from mech_music.base.errors import UserError, unknown
from mech_music.config.axes import check_component, n_steps, parse_frames, parse_layers
from mech_music.config.paths import options
from mech_music.config.schema import RunConfig, TechniqueConfig
from mech_music.edits.row import Half, History
from mech_music.models.hooks import Component
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.tasks.interchange.design import DesignConfig, Means, evaluated


@dataclass
class InterchangeSettings(RunConfig):
    """What is edited (``component``, ``layer``, ``frames``, ``half``), how (``technique``, ``strength``, ``history``),
    for which ``pair`` of concepts, beside which ``controls``, on which prompts and with whose means (``design``);
    ``metrics`` are those beside the task's own."""

    technique: TechniqueConfig = MISSING
    design: DesignConfig = MISSING
    component: Component = Component.mlp
    layer: str = "all"
    pair: str = "guitar-piano"
    half: Half = Half.both
    frames: str = "all"
    strength: float = 1.0
    history: History = History.own
    controls: list[str] = field(default_factory=lambda: ["self", "other", "random", "noise"])
    metrics: list[str] = field(default_factory=lambda: ["surprise"])

    @property
    def layers(self) -> list[tuple[str, tuple[int, ...]]]:
        """Each intervention's label and the layers that it edits at once."""
        return parse_layers(self.layer, self.model.layers)

    @property
    def pairs(self) -> list[tuple[Concept, Concept]]:
        """Original and desired concepts."""
        return self.study.resolve_pairs(self.pair)

    @property
    def steps(self) -> tuple[int, int] | None:
        """The half-open slice of steps that is edited; None for all."""
        return parse_frames(self.frames, n_steps(self), self.model.frame_rate)

    def check(self) -> None:
        self._check_prompts()
        _ = self.layers, self.steps
        check_component(self.component, self.model)
        if not math.isfinite(self.strength):
            raise UserError(f"strength={self.strength:g}: expected a finite number")
        for kind, names in (("control", self.controls), ("metric", self.metrics)):
            for name in names:
                if name not in options(kind):
                    raise UserError(unknown(kind, name, options(kind)))
        _check_technique(self.technique, self.study.concepts)

    def evaluated(self, original: Concept, desired: Concept) -> list[Prompt]:
        """The prompts that are edited, all of the original concept. UserError if there are fewer."""
        return evaluated(self.design, self.study, original, desired, self.prompts)

    def means(self, original: Concept, desired: Concept) -> Means:
        """What clips of one pair are edited with."""
        return Means(self.design, self.study, (original, desired), self.prompts, self.seed, self.history)

    def _check_prompts(self) -> None:
        self.design.check()
        for pair in self.pairs:
            self.evaluated(*pair)
            self.means(*pair).check()

    def told_apart(self) -> list[str]:
        return [self.component.value, self.technique.name, self.pair]


def _check_technique(technique: TechniqueConfig, concepts: Collection[str]) -> None:
    for concept, weight in technique.shift.items():
        if concept not in (allowed := ("original", "desired", *concepts)):
            raise UserError(unknown("concept in technique.shift", concept, allowed))
        if not math.isfinite(weight):
            raise UserError(f"technique.shift.{concept}={weight:g}: expected a finite number")
    if not math.isfinite(technique.scale):
        raise UserError(f"technique.scale={technique.scale:g}: expected a finite number")
