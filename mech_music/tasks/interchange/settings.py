"""The axes of an interchange."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import MISSING

from mech_music.base.errors import UserError, unknown
from mech_music.config.axes import check_component, n_steps, parse_frames, parse_heads, parse_parts
from mech_music.config.paths import options
from mech_music.config.schema import IF_GIVEN, RunConfig, TechniqueConfig, load_technique
from mech_music.edits.row import Half, History
from mech_music.models.hooks import Component
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.saes.settings import check_sae_config, sae_of, trained_on
from mech_music.tasks.interchange.design import DesignConfig, Means, evaluated, numbers


@dataclass
class InterchangeSettings(RunConfig):
    """What is edited (``component``, ``layer``, ``head``, ``frames``, ``half``), how (``technique``, ``strength``,
    ``history``; a layer may name a technique of its own), for which ``pair`` of concepts, beside which ``controls``,
    on which prompts and with whose means (``design``); ``metrics`` are those beside the task's own."""

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
    head: str | None = field(default=None, metadata=IF_GIVEN)

    @property
    def interventions(self) -> list[tuple[str, dict[int, TechniqueConfig]]]:
        """Each intervention's label, and the layers that it edits at once with their techniques."""
        return [
            (label, {layer: self._technique(name) for layer, name in parts.items()})
            for label, parts in parse_parts(self.layer, self.model.layers)
        ]

    def _technique(self, name: str) -> TechniqueConfig:
        return load_technique(name, self.strength) if name else self.technique

    @property
    def head_sets(self) -> list[tuple[str, tuple[int, ...] | None]]:
        """The sets of heads that are edited, each with a label; None for the whole output."""
        return [("", None)] if self.head is None else [*parse_heads(self.head, self.model)]

    @property
    def point(self) -> str:
        """Where a layer is edited: at the component's output, or at that of its heads."""
        return self.component.point if self.head is None else self.component.heads_point or ""

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
        parts, _ = self.interventions, self.steps
        check_component(self.component, self.model)
        self._check_heads()
        if not math.isfinite(self.strength):
            raise UserError(f"strength={self.strength:g}: expected a finite number")
        for kind, names in (("control", self.controls), ("metric", self.metrics)):
            for name in names:
                if name not in options(kind):
                    raise UserError(unknown(kind, name, options(kind)))
                if names.count(name) > 1:
                    raise UserError(f"{kind}s=[{','.join(names)}]: {name} is there twice; name each once")
        for technique in (self.technique, *(one for _, by_layer in parts for one in by_layer.values())):
            _check_technique(technique, self.study.concepts)
            self._check_features(technique)

    def evaluated(self, original: Concept, desired: Concept) -> list[Prompt]:
        """The prompts that are edited, all of the original concept. UserError if there are fewer."""
        return evaluated(self.design, self.study, original, desired, self.prompts, self._trained_on)

    @property
    def _techniques(self) -> tuple[TechniqueConfig, ...]:
        """That of the run, and those that layers name."""
        return self.technique, *(one for _, by_layer in self.interventions for one in by_layer.values())

    @property
    def _trained_on(self) -> frozenset[str]:
        """The prompts that the techniques' features were trained on or chosen by."""
        saes = [sae_of(one.sae) for one in self._techniques if one.sae]
        return frozenset().union(*(trained_on(one, self.study).prompts.texts for one in saes if one.corpus is None))

    def means(self, original: Concept, desired: Concept) -> Means:
        """What clips of one pair are edited with."""
        heads = self.head is not None
        return Means(self.design, self.study, (original, desired), self.prompts, self.seed, self.history, heads)

    def _check_heads(self) -> None:
        if self.head is not None and self.component.heads_point is None:
            raise UserError(f"head={self.head}: component={self.component} has no heads; allowed with head: sa, ca")
        _ = self.head_sets

    def _check_features(self, technique: TechniqueConfig) -> None:
        if not technique.sae:
            return
        if self.head is not None:
            raise UserError(
                f"head={self.head}: technique {technique.name} adds features of a whole output; leave it out"
            )
        check_sae_config(sae_of(technique.sae), self.study)

    @property
    def told_design(self) -> str:
        """What tells results of one design, and of one SAE, from those of another."""
        saes = dict.fromkeys(_told_sae(one) for one in self._techniques if one.sae)
        return "; ".join([self.design.told, *saes])

    def _check_prompts(self) -> None:
        self.design.check()
        for pair in self.pairs:
            self.evaluated(*pair)
            self.means(*pair).check()

    def also_named(self) -> dict[str, Any]:
        """The techniques that layers name, by their content; of a mistyped config, those that there are."""
        named = {name for name in re.findall(r":([^\s:+,]+)", self.layer) if name in options("technique")}
        found = {name: asdict(load_technique(name, self.strength)) for name in sorted(named)}
        return {"techniques": found} if found else {}

    def numbers(self, original: Concept, prompts: Sequence[Prompt]) -> list[int]:
        """The number of each prompt among all of its concept, those left out for the sake of a pair counted too."""
        return numbers(self.design, self.study, original, prompts)

    def told_apart(self) -> list[str]:
        told = [self.component.value, self.technique.name, self.pair]
        return told if self.head is None else [*told, f"head {self.head}"]


def _told_sae(technique: TechniqueConfig) -> str:
    sae = sae_of(technique.sae)
    return f"features of {sae.width}/{sae.k} {sae.activation.value}, {sae.half.value}, seed {sae.seed}, {sae.told}"


def _check_technique(technique: TechniqueConfig, concepts: Collection[str]) -> None:
    for key in ("shift", "along"):
        for concept, weight in getattr(technique, key).items():
            if concept not in (allowed := ("original", "desired", "others", *concepts)):
                raise UserError(unknown(f"concept in technique.{key}", concept, allowed))
            if not math.isfinite(weight):
                raise UserError(f"technique.{key}.{concept}={weight:g}: expected a finite number")
    if not math.isfinite(technique.scale):
        raise UserError(f"technique.scale={technique.scale:g}: expected a finite number")
    if technique.along and technique.shift:
        raise UserError(f"technique {technique.name} has a shift and a direction (along): leave one of them out")
