"""The axes of an SAE's training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

from mech_music.base.errors import UserError
from mech_music.config.axes import check_component, single_layers
from mech_music.config.schema import IF_GIVEN, NEVER, RunConfig
from mech_music.models.hooks import Component, Hook
from mech_music.saes.browsing import BrowserConfig
from mech_music.saes.measured import POOLINGS
from mech_music.saes.named import Dictionary
from mech_music.saes.rules import FilterConfig
from mech_music.saes.settings import SaeConfig, check_sae_config, named_by


@dataclass
class EvaluationConfig:
    """What is asked of an SAE beside FVU and the model's distributions.

    ``poolings``: what may become of a feature's time course (`mech_music.saes.pooling`). ``seeds``: further SAEs that
    are trained on the same clips, to see which features come back; 0 for none. ``clusters``: of tokens, for semantic
    entropy, ``draws``: of its nulls (0: no entropies). ``sound``: whether clips are rendered, so that features of
    loudness and silence are known. ``filter``: the rule by which features are kept.
    """

    poolings: list[str] = field(default_factory=lambda: list(POOLINGS))
    seeds: int = 1
    clusters: int = 16
    draws: int = 100
    sound: bool = False
    filter: FilterConfig = field(default_factory=FilterConfig)

    def check(self) -> None:
        """UserError for the first value that makes no sense."""
        if unknown := [name for name in self.poolings if name not in POOLINGS]:
            raise UserError(f"evaluation.poolings={unknown[0]}: expected some of {', '.join(POOLINGS)}")
        if "mean" not in self.poolings:
            raise UserError("evaluation.poolings: mean has to be among them, beside what others are set")
        for key, least in (("seeds", 0), ("clusters", 2)):
            if (value := getattr(self, key)) < least:
                raise UserError(f"evaluation.{key}={value}: expected {least} or more")
        if self.draws and self.draws < 20:
            raise UserError(f"evaluation.draws={self.draws}: expected 20 or more, or 0 for no entropies")
        self.filter.check("evaluation.filter")


@dataclass
class SaeSiteSettings(RunConfig):
    """Where vectors are read (``component``, ``layer``), and what ``sae`` is trained or read."""

    component: Component = Component.resid
    layer: str = "4"
    sae: SaeConfig = field(default_factory=SaeConfig)

    @property
    def saes(self) -> dict[int, tuple[str, Dictionary]]:
        """By layer: the hook, and the SAE that is used there."""
        layers = single_layers(self.layer, self.model.layers)
        hooks = {layer: Hook(layer, self.component.point).name for layer in layers}
        return {layer: (hook, named_by(self.sae, hook, self.study)) for layer, hook in hooks.items()}

    def check(self) -> None:
        check_component(self.component, self.model)
        check_sae_config(self.sae, self.study)
        if self.sae.path is not None and len(self.saes) > 1:
            raise UserError(f"layer={self.layer}: the SAE in '{self.sae.path}' is of one layer: give that one")
        _ = self.saes


@dataclass
class SaeSettings(SaeSiteSettings):
    """What is asked of the SAE beside (``evaluation``), and what its feature ``browser`` holds."""

    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig, metadata=IF_GIVEN)
    browser: BrowserConfig = field(default_factory=BrowserConfig, metadata=NEVER)  # decides no number

    def check(self) -> None:
        super().check()
        self.evaluation.check()
        self.browser.check()
        if self.browser.steered and self.sae.corpus is not None:
            raise UserError(f"browser.steered={self.browser.steered}: clips of audio are not made again; use 0")

    def told_apart(self) -> list[str]:
        return ["sae", f"{self.sae.width}/{self.sae.k}", f"layer {self.layer}"]
