"""The typed configuration of the training of musicgen-tiny-long."""

from dataclasses import dataclass, field
from enum import StrEnum

from hydra.core.config_store import ConfigStore

from mech_music.tiny.config import CodecConfig, LanguageModelConfig, LoopConfig


class StageName(StrEnum):
    """The stages of training, in their order. ``short``: a baseline for the evaluation, which no bundle needs."""

    corpus = "corpus"
    codec = "codec"
    codes = "codes"
    loops = "loops"
    language_model = "language_model"
    refined = "refined"
    told = "told"
    forms = "forms"
    corrected = "corrected"
    bundle = "bundle"
    short = "short"


@dataclass
class PiecesConfig:
    """``train``: pieces that the language model reads, as tokens; of the first ``audio`` the codec hears the sound.

    ``watched``: held-out pieces whose likelihood is logged in training.
    """

    train: int = 12_000
    audio: int = 400
    watched: int = 48


def _codec() -> CodecConfig:
    # 1,280 samples a frame. The encoder's last convolution sees one frame: a token depends on little but its own.
    local = {"last_kernel_size": 1}
    return CodecConfig(LoopConfig(steps=1200), ratios=[5, 4, 2, 2, 16], kmeans_clips=48, crop_frames=14, encoder=local)


def _language_model() -> LanguageModelConfig:
    loop = LoopConfig(steps=2000, batch=8, weight_decay=0.05, beta2=0.95)
    return LanguageModelConfig(loop, layers=6)


def _forms() -> LoopConfig:
    return LoopConfig(2400, 8, learning_rate=2e-3, weight_decay=0.05, beta2=0.95)


@dataclass
class FormsConfig:
    """Of the stages ``forms`` and ``corrected``: their first steps read pieces of one tempo; how much a section's first
    frames weigh; ``as_it_is``: the share of pieces that are not put together anew; ``wrong``: of the frames of a return
    in the others, the share at which something wrong begins in what is read."""

    loop: LoopConfig = field(default_factory=_forms)
    first_steps: int = 800
    first_tempo: str = "medium"
    weight: float = 15.0
    first_frames: int = 4
    as_it_is: float = 0.25
    wrong: float = 0.0


def _corrected() -> FormsConfig:
    loop = LoopConfig(2000, 8, learning_rate=1.5e-3, weight_decay=0.05, beta2=0.95)
    return FormsConfig(loop, first_steps=0, as_it_is=0.4, wrong=0.08)


@dataclass
class LongConfig:
    """Everything that decides the weights, the folder that holds them, and the stages to run."""

    seed: int = 2024
    # Sums of floats depend on the number of threads, so it is part of the recipe.
    threads: int = 2
    folder: str = "outputs/tiny/long"
    # Where the bundle stage writes; empty: <folder>/bundle.
    bundle: str = ""
    stages: list[StageName] = field(default_factory=lambda: [one for one in StageName if one is not StageName.short])
    pieces: PiecesConfig = field(default_factory=PiecesConfig)
    codec: CodecConfig = field(default_factory=_codec)
    loops: LoopConfig = field(
        default_factory=lambda: LoopConfig(1000, 24, learning_rate=2.5e-3, weight_decay=0.05, beta2=0.95)
    )
    language_model: LanguageModelConfig = field(default_factory=_language_model)
    # Of the language model's steps, those that read loops, and pieces whose sections are put in another order.
    rearranged: int = 500
    refined: LoopConfig = field(
        default_factory=lambda: LoopConfig(2000, 8, learning_rate=1.2e-3, weight_decay=0.05, beta2=0.95)
    )
    # Of these steps, those that read more exact returns than the pieces have.
    more_returns: int = 800
    told: LoopConfig = field(
        default_factory=lambda: LoopConfig(2500, 8, learning_rate=1.2e-3, weight_decay=0.05, beta2=0.95)
    )
    # Of these steps, those that read told pieces with exact returns only, and hinted ones.
    told_exactly: int = 1200
    forms: FormsConfig = field(default_factory=FormsConfig)
    corrected: FormsConfig = field(default_factory=_corrected)
    short: LoopConfig = field(default_factory=lambda: LoopConfig(steps=2000, batch=48, weight_decay=0.05, beta2=0.95))


def register() -> None:
    """Make the schema known to Hydra, as `tiny_long_schema`."""
    ConfigStore.instance().store(name="tiny_long_schema", node=LongConfig)
