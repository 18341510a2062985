"""The axes of erasing concepts."""

from __future__ import annotations

from dataclasses import dataclass, field

from mech_music.base.errors import UserError
from mech_music.config.axes import check_component, single_layers
from mech_music.config.schema import RunConfig
from mech_music.edits.row import Half
from mech_music.models.hooks import Component, Hook
from mech_music.prompts.concepts import Concept
from mech_music.saes.concept_prompts import firing_on, held_out_with
from mech_music.saes.settings import SaeConfig, check_sae_config


@dataclass
class SaeEraseSettings(RunConfig):
    """Where (``component``, ``layer``, ``half``) a ``concept`` is erased by putting the ``features`` (numbers of them)
    of ``sae`` that tell it best to 0, beside ``draws`` random sets of as many; on the last ``prompts`` prompts about
    it, which neither the SAE nor the features were chosen by."""

    component: Component = Component.resid
    layer: str = "4"
    concept: str = "instruments"
    half: Half = Half.cond
    features: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32, 64, 128])
    draws: int = 2
    sae: SaeConfig = field(default_factory=SaeConfig)

    @property
    def hooks(self) -> dict[int, str]:
        """The hooks that are edited, one at a time, by layer."""
        return {layer: Hook(layer, self.component.point).name for layer in single_layers(self.layer, self.model.layers)}

    @property
    def concepts(self) -> list[Concept]:
        """Those that are erased, one at a time."""
        return self.study.resolve_concepts(self.concept)

    def check(self) -> None:
        check_component(self.component, self.model)
        check_sae_config(self.sae, self.study)
        if not self.features:
            raise UserError("features=[]: expected at least one number")
        for key, values in (("features", self.features), ("draws", [self.draws])):
            if (least := min(values)) < 1:
                raise UserError(f"{key}={least}: expected 1 or more")
        if self.sae.path is None and (most := max(self.features)) > self.sae.width // 2:
            raise UserError(
                f"features={most}: expected at most half of sae.width={self.sae.width}, as many others are the control"
            )
        _ = [firing_on(self.sae, hook, self.study) for hook in self.hooks.values()]
        for concept in self.concepts:
            held_out_with(self.sae, self.study, concept, self.prompts)

    def told_apart(self) -> list[str]:
        return ["sae_erase", self.concept, f"layer {self.layer}"]
