"""The axes of DecoderLens."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from mech_music.config.axes import check_component, check_lens, check_prompts, single_layers
from mech_music.config.schema import LensConfig, RunConfig
from mech_music.edits.row import Reading
from mech_music.models.hooks import Component
from mech_music.prompts.concepts import Concept


@dataclass
class DecoderLensSettings(RunConfig):
    """Where the stream is read (``component``, ``layer``), through which ``lens``, along whose tokens (``reading``),
    for which ``concept``."""

    lens: LensConfig = MISSING
    component: Component = Component.mlp
    layer: str = "all"
    concept: str = "all"
    reading: Reading = Reading.free

    @property
    def layers(self) -> list[int]:
        """The layers that are read, one at a time."""
        return single_layers(self.layer, self.model.layers)

    @property
    def concepts(self) -> list[Concept]:
        """Whose prompts are played, and whose labels looked for."""
        return self.study.resolve_concepts(self.concept)

    def check(self) -> None:
        check_prompts(self.prompts, self.study, self.concepts)
        _ = self.layers
        check_component(self.component, self.model)
        check_lens(self.lens, self.study)

    def told_apart(self) -> list[str]:
        return [self.component.value, "decoder_lens", self.lens.name, self.reading.value, self.concept]
