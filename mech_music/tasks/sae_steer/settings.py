"""The axes of steering with features."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mech_music.base.errors import UserError
from mech_music.config.axes import check_component, single_layers
from mech_music.config.schema import RunConfig
from mech_music.edits.row import Half, Prompts
from mech_music.models.hooks import Component, Hook
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.saes.named import Firing
from mech_music.saes.settings import SaeConfig, check_sae_config, named_by, trained_on


@dataclass
class SaeSteerSettings(RunConfig):
    """Where (``component``, ``layer``, ``half``) and for which ``pair`` a feature's direction of ``sae`` is added, at
    which ``strengths`` (α, in largest activations). Of the ``candidates`` features that tell the desired concept best,
    the one with which it is heard, and the rest kept, most often on ``choice_prompts`` prompts is tested on ``prompts``
    others."""

    component: Component = Component.resid
    layer: str = "4"
    pair: str = "guitar-piano"
    half: Half = Half.cond
    strengths: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])
    candidates: int = 3
    choice_prompts: int = 16
    sae: SaeConfig = field(default_factory=SaeConfig)

    @property
    def hooks(self) -> dict[int, str]:
        """The hooks that are edited, one at a time, by layer."""
        return {layer: Hook(layer, self.component.point).name for layer in single_layers(self.layer, self.model.layers)}

    @property
    def pairs(self) -> list[tuple[Concept, Concept]]:
        """Original and desired concepts."""
        return self.study.resolve_pairs(self.pair)

    def firing(self, hook: str) -> Firing:
        """What features do on the clips that they are looked for in."""
        return Firing(named_by(self.sae, hook, self.study), hook, trained_on(self.sae, self.study))

    def prompts_with(self, concept: Concept) -> list[Prompt]:
        """Every prompt that has the concept, in balanced order; the last are those that no SAE was trained on."""
        return [one for one in self.study.balanced_prompts if one.words[concept.category] == concept.text]

    def known(self, concept: Concept) -> Prompts:
        """Those of them that features are looked for in."""
        there = set(trained_on(self.sae, self.study).prompts.texts)
        return Prompts.of([one.text for one in self.prompts_with(concept) if one.text in there], concept.name)

    def others(self, concept: Concept) -> Prompts:
        """The prompts with another word of its category."""
        own, there = set(self.known(concept).texts), trained_on(self.sae, self.study).prompts.texts
        return Prompts.of([text for text in there if text not in own], f"not {concept.name}")

    def check(self) -> None:
        check_component(self.component, self.model)
        check_sae_config(self.sae, self.study)
        if bad := [one for one in self.strengths if not (math.isfinite(one) and one != 0)]:
            raise UserError(f"strengths={bad[0]:g}: expected finite numbers other than 0")
        for key in ("candidates", "choice_prompts"):
            if (value := getattr(self, key)) < 1:
                raise UserError(f"{key}={value}: expected 1 or more")
        if not self.strengths:
            raise UserError("strengths=[]: expected at least one number")
        for original, _ in self.pairs:
            n = len(self.prompts_with(original))
            if self.prompts + self.choice_prompts > n:
                raise UserError(
                    f"prompts={self.prompts} beside choice_prompts={self.choice_prompts}: there are {n} prompts about "
                    f"'{original.name}'"
                )
        _ = [self.firing(hook) for hook in self.hooks.values()]

    def told_apart(self) -> list[str]:
        return ["sae_steer", self.pair, f"layer {self.layer}"]
