"""The typed configuration of the training of musicgen-tiny-long."""

from dataclasses import dataclass, field
from enum import StrEnum

from hydra.core.config_store import ConfigStore

from mech_music.tiny.config import CodecConfig, LanguageModelConfig, LoopConfig


class StageName(StrEnum):
    """The stages of training, in their order."""

    corpus = "corpus"
    codec = "codec"
    codes = "codes"
    language_model = "language_model"
    bundle = "bundle"


@dataclass
class PiecesConfig:
    """``train``: pieces that the language model reads, as tokens; of the first ``audio`` the codec hears the sound.

    ``watched``: held-out pieces whose likelihood is logged in training.
    """

    train: int = 12_000
    audio: int = 400
    watched: int = 48


def _codec() -> CodecConfig:
    # 1,280 samples a frame. The encoder's last convolution sees one frame, so that tokens depend on little but their own.
    return CodecConfig(
        LoopConfig(steps=1200), ratios=[5, 4, 2, 2, 16], kmeans_clips=48, crop_frames=14, encoder={"last_kernel_size": 1}
    )


def _language_model() -> LanguageModelConfig:
    return LanguageModelConfig(LoopConfig(steps=5000, batch=8, weight_decay=0.05, beta2=0.95, save_every=100))


@dataclass
class LongConfig:
    """Everything that decides the weights, the folder that holds them, and the stages to run."""

    seed: int = 2024
    # Sums of floats depend on the number of threads, so it is part of the recipe.
    threads: int = 2
    folder: str = "outputs/tiny/long"
    # Where the bundle stage writes; empty: <folder>/bundle.
    bundle: str = ""
    stages: list[StageName] = field(default_factory=lambda: list(StageName))
    pieces: PiecesConfig = field(default_factory=PiecesConfig)
    codec: CodecConfig = field(default_factory=_codec)
    language_model: LanguageModelConfig = field(default_factory=_language_model)


def register() -> None:
    """Make the schema known to Hydra, as `tiny_long_schema`."""
    ConfigStore.instance().store(name="tiny_long_schema", node=LongConfig)
