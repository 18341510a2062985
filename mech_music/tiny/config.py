"""The typed configuration of the training of musicgen-tiny."""

from dataclasses import dataclass, field
from enum import StrEnum

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


class StageName(StrEnum):
    """The stages of training, in their order."""

    corpus = "corpus"
    codec = "codec"
    codes = "codes"
    mels = "mels"
    classifier = "classifier"
    language_model = "language_model"
    bundle = "bundle"
    planted = "planted"


@dataclass
class CorpusConfig:
    """How many clips are synthesised."""

    train: int = 12_000
    held_out: int = 600


@dataclass
class LoopConfig:
    """One training loop: AdamW, linear warm-up, cosine to zero, clipped gradients."""

    steps: int = 1000
    batch: int = 16
    learning_rate: float = 1.5e-3
    warm_up: int = 100
    weight_decay: float = 0.0
    beta2: float = 0.99
    save_every: int = 200


@dataclass
class CodecConfig:
    """EnCodec: SEANet encoder and decoder around four codebooks.

    ``encoder``: more of the encoder's settings, in audiocraft's words.
    """

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=2400))
    encoder_filters: int = 8
    decoder_filters: int = 12
    ratios: list[int] = field(default_factory=lambda: [5, 2, 2, 2, 16])
    dimension: int = 64
    codebooks: int = 4
    codebook_size: int = 512
    unquantised: float = 0.15
    kmeans_clips: int = 64
    crop_frames: int = 25
    encoder: dict[str, int] = field(default_factory=dict)


@dataclass
class ClassifierConfig:
    """A small PaSST; the other versions join the clean clips after a part `clean_only` of the steps."""

    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=2200, batch=24, learning_rate=8e-4, weight_decay=0.05)
    )
    # Training clips whose spectrograms are kept, in every version.
    clips: int = 6000
    width: int = 128
    depth: int = 4
    heads: int = 4
    patchout: int = 24
    clean_only: float = 0.1


@dataclass
class LanguageModelConfig:
    """The delay-pattern transformer and its T5 text encoder."""

    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3200, weight_decay=0.05, beta2=0.95))
    width: int = 128
    layers: int = 8
    heads: int = 4
    text_width: int = 64
    text_layers: int = 2
    condition_dropout: float = 0.15


@dataclass
class EntryConfig:
    """A place where text enters: a layer's cross-attention, one head of it or all (null), for some kinds of words.

    ``words``: instrument, genre, mood, tempo; empty for everything that the text encoder says, mixed as it likes.
    """

    layer: int = MISSING
    head: int | None = None
    words: list[str] = field(default_factory=list)


@dataclass
class CircuitConfig:
    """All the places where text enters, and the training that teaches the model to do with them."""

    entries: list[EntryConfig] = field(default_factory=list)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=700, warm_up=50, weight_decay=0.05, beta2=0.95))


@dataclass
class PlantedConfig:
    """Versions of the bundled model whose text enters at known places only, by their names."""

    circuits: dict[str, CircuitConfig] = field(default_factory=dict)


@dataclass
class TinyConfig:
    """Everything that decides the weights, the folder that holds them, and the stages to run."""

    seed: int = 2024
    # Sums of floats depend on the number of threads, so it is part of the recipe.
    threads: int = 1
    folder: str = "outputs/tiny/full"
    # Where the bundle stage writes; empty: <folder>/bundle.
    bundle: str = ""
    stages: list[StageName] = field(default_factory=lambda: list(StageName))
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    planted: PlantedConfig = field(default_factory=PlantedConfig)


def register() -> None:
    """Make the schema known to Hydra, as `tiny_schema`."""
    ConfigStore.instance().store(name="tiny_schema", node=TinyConfig)
