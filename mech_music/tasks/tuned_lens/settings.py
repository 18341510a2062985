"""The axes of the tuned lens' training."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from mech_music.config.axes import check_component, check_lens, single_layers
from mech_music.config.schema import LensConfig, RunConfig
from mech_music.models.hooks import Component


@dataclass
class TunedLensSettings(RunConfig):
    """Where the stream is read (``component``, ``layer``), and how the ``lens`` is trained."""

    lens: LensConfig = MISSING
    component: Component = Component.mlp
    layer: str = "all"

    @property
    def layers(self) -> list[int]:
        """The layers that are read, one at a time."""
        return single_layers(self.layer, self.model.layers)

    def check(self) -> None:
        _ = self.layers
        check_component(self.component, self.model)
        check_lens(self.lens, self.study)

    def told_apart(self) -> list[str]:
        return [self.component.value, "tuned_lens"]
