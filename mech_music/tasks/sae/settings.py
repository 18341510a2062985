"""The axes of an SAE's training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

from mech_music.base.errors import UserError
from mech_music.config.axes import check_component, single_layers
from mech_music.config.schema import NEVER, RunConfig
from mech_music.models.hooks import Component, Hook
from mech_music.saes.browsing import BrowserConfig
from mech_music.saes.named import Dictionary
from mech_music.saes.settings import SaeConfig, check_sae_config, named_by


@dataclass
class SaeSettings(RunConfig):
    """Where vectors are read (``component``, ``layer``), what ``sae`` is trained or read, and what its feature
    ``browser`` holds."""

    component: Component = Component.resid
    layer: str = "4"
    sae: SaeConfig = field(default_factory=SaeConfig)
    browser: BrowserConfig = field(default_factory=BrowserConfig, metadata=NEVER)  # decides no number

    @property
    def saes(self) -> dict[int, tuple[str, Dictionary]]:
        """By layer: the hook, and the SAE that is used there."""
        layers = single_layers(self.layer, self.model.layers)
        hooks = {layer: Hook(layer, self.component.point).name for layer in layers}
        return {layer: (hook, named_by(self.sae, hook, self.study)) for layer, hook in hooks.items()}

    def check(self) -> None:
        check_component(self.component, self.model)
        check_sae_config(self.sae, self.study)
        self.browser.check()
        if self.sae.path is not None and len(self.saes) > 1:
            raise UserError(f"layer={self.layer}: the SAE in '{self.sae.path}' is of one layer: give that one")
        _ = self.saes

    def told_apart(self) -> list[str]:
        return ["sae", f"{self.sae.width}/{self.sae.k}", f"layer {self.layer}"]
