"""The axes of self-similarity."""

from __future__ import annotations

from dataclasses import dataclass

from mech_music.config.axes import check_component, check_prompts, single_layers
from mech_music.config.schema import RunConfig
from mech_music.edits.row import Half
from mech_music.models.hooks import Component
from mech_music.prompts.concepts import Concept


@dataclass
class SelfSimilaritySettings(RunConfig):
    """Which streams are compared (``component``, ``layer``, ``half``), over the prompts of which ``concept``."""

    component: Component = Component.mlp
    layer: str = "all"
    concept: str = "all"
    half: Half = Half.both

    @property
    def layers(self) -> list[int]:
        """The layers that are compared."""
        return single_layers(self.layer, self.model.layers)

    @property
    def concepts(self) -> list[Concept]:
        """Whose prompts are played."""
        return self.study.resolve_concepts(self.concept)

    def check(self) -> None:
        check_prompts(self.prompts, self.study, self.concepts)
        _ = self.layers
        check_component(self.component, self.model)

    def told_apart(self) -> list[str]:
        return [self.component.value, "self_similarity", self.concept]
