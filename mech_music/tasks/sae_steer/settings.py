"""The axes of steering with features."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from mech_music.base.errors import UserError
from mech_music.config.axes import check_component, single_layers
from mech_music.config.schema import RunConfig
from mech_music.edits.row import Half
from mech_music.edits.schedule import Schedule, parse_schedule
from mech_music.models.hooks import Component, Hook
from mech_music.prompts.concepts import Concept
from mech_music.saes.concept_prompts import firing_on, held_out_with, known
from mech_music.saes.settings import SaeConfig, check_sae_config


class Steer(StrEnum):
    """What is done at each edited step, α the strength.

    feature: α·β·W_dec[j] is added (Singh et al.), β the largest activation of the feature j. features: α·Σ Δ_j W_dec[j]
    is added, Δ_j how much more the feature fires on the desired concept's clips than on the original's, over those with
    the longest terms. swap: the features that tell the original concept are put to 0 and those of the desired one to
    α times their mean on its clips; what the SAE does not explain is kept.
    """

    feature = "feature"
    features = "features"
    swap = "swap"


@dataclass
class SaeSteerSettings(RunConfig):
    """Where (``component``, ``layer``, ``half``), when (``schedule``), how (``steer``) and for which ``pair`` features
    of ``sae`` are used, at which ``strengths`` (α). ``contrast``: beside the conditional half the unconditional one is
    edited the opposite way, this many times as far, which guidance adds up. Of the candidates (``candidates`` features
    that tell the desired concept best, or, where several are used at once, the numbers of them in ``features``) the one
    with which the desired is heard, and the rest kept, most often on ``choice_prompts`` prompts is tested on
    ``prompts`` others; beside ``draws`` random ones of each."""

    component: Component = Component.resid
    layer: str = "4"
    pair: str = "guitar-piano"
    half: Half = Half.cond
    steer: Steer = Steer.feature
    contrast: float = 0.0
    schedule: str = "all"
    strengths: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])
    candidates: int = 3
    features: list[int] = field(default_factory=lambda: [32])
    choice_prompts: int = 16
    draws: int = 2
    sae: SaeConfig = field(default_factory=SaeConfig)

    @property
    def hooks(self) -> dict[int, str]:
        """The hooks that are edited, one at a time, by layer."""
        return {layer: Hook(layer, self.component.point).name for layer in single_layers(self.layer, self.model.layers)}

    @property
    def pairs(self) -> list[tuple[Concept, Concept]]:
        """Original and desired concepts."""
        return self.study.resolve_pairs(self.pair)

    @property
    def tried(self) -> list[int]:
        """The candidates: ranks of features, or how many of them."""
        return list(range(self.candidates)) if self.steer is Steer.feature else self.features

    @property
    def course(self) -> Schedule | None:
        """None for all steps alike."""
        return parse_schedule(self.schedule)

    def check(self) -> None:
        check_component(self.component, self.model)
        check_sae_config(self.sae, self.study)
        self._check_contrast()
        _ = self.course
        if bad := [one for one in self.strengths if not (math.isfinite(one) and one != 0)]:
            raise UserError(f"strengths={bad[0]:g}: expected finite numbers other than 0")
        for key in ("strengths", "features"):
            if not getattr(self, key):
                raise UserError(f"{key}=[]: expected at least one number")
        for key in ("candidates", "choice_prompts", "draws"):
            if (value := getattr(self, key)) < 1:
                raise UserError(f"{key}={value}: expected 1 or more")
        most = self.sae.width if self.sae.path is None else max(self.features)
        if bad := [n for n in self.tried if self.steer is not Steer.feature and not 1 <= n <= most]:
            raise UserError(f"features={bad[0]}: expected 1 to sae.width, {most}")
        _ = [firing_on(self.sae, hook, self.study) for hook in self.hooks.values()]
        for original, _ in self.pairs:
            held_out_with(self.sae, self.study, original, self.prompts)
            if self.choice_prompts > (n := len(known(self.sae, self.study, original))):
                raise UserError(
                    f"choice_prompts={self.choice_prompts}: there are {n} prompts about '{original.name}' that are not "
                    "held out"
                )

    def _check_contrast(self) -> None:
        if not (math.isfinite(self.contrast) and self.contrast >= 0):
            raise UserError(f"contrast={self.contrast:g}: expected 0 or more")
        if self.contrast and (self.half is not Half.cond or self.steer is Steer.swap):
            raise UserError(
                f"contrast={self.contrast:g} goes with half=cond and steer=feature or features, not with "
                f"half={self.half.value} and steer={self.steer.value}"
            )

    def told_apart(self) -> list[str]:
        return ["sae_steer", self.steer.value, self.pair, f"layer {self.layer}"]
