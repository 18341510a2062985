"""The typed configuration of the training of a symbolic model."""

from __future__ import annotations

from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore

from mech_music.models.symbolic.corpora.registry import CorpusConfig
from mech_music.models.symbolic.decoder import Shape
from mech_music.models.symbolic.relations import ATTENTION
from mech_music.tiny.config import LoopConfig


@dataclass
class SymbolicConfig:
    """Everything that decides the weights, and the folder that holds them.

    ``corpus``: what is learnt. ``pieces``: different planted pieces that are trained on, 0 for new ones at every step.
    ``unsaid``: the chance that a piece is trained on without one of its control tokens. ``bundle``: where the weights
    go, in float16; empty for ``<folder>/bundle``.
    """

    seed: int = 2024
    # Sums of floats depend on the number of threads, so it is part of the recipe.
    threads: int = 1
    folder: str = "outputs/symbolic/full"
    bundle: str = ""
    shape: Shape = field(default_factory=Shape)
    loop: LoopConfig = field(default_factory=LoopConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    bfloat16: bool = True
    pieces: int = 0
    unsaid: float = 0.1


@dataclass
class CompareConfig(SymbolicConfig):
    """The same training with each of these attentions and seeds; whatever else is said holds for all."""

    folder: str = "outputs/symbolic/attention"
    attentions: list[str] = field(default_factory=lambda: list(ATTENTION))
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])


def register() -> None:
    """Make the schemas known to Hydra, as `symbolic_schema` and `compare_schema`."""
    ConfigStore.instance().store(name="symbolic_schema", node=SymbolicConfig)
    ConfigStore.instance().store(name="compare_schema", node=CompareConfig)
