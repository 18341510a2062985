"""The schema of a run: every axis of an experiment, with its type, unit and default.

``conf/`` composes it (one folder per group) and the command line overrides it. This module imports nothing
heavy, so that ``--help`` and a mistyped word are answered at once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, cast, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict, read_write

from mech_music.config.paths import conf_dir, experiments_dir
from mech_music.edits.row import Fit, Half, History, Reading
from mech_music.models.hooks import Component
from mech_music.prompts.concepts import study_prompts


class Dtype(StrEnum):
    """The number format of the language model's weights; float32 is the reference."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Direction(StrEnum):
    """Where a shift points: along the concepts' means, or at random with the same norm."""

    mean = "mean"
    random = "random"


class WandbMode(StrEnum):
    """How Weights & Biases is used; offline needs no account."""

    offline = "offline"
    online = "online"
    disabled = "disabled"


@dataclass
class ModelConfig:
    """A model, by default a MusicGen checkpoint. ``_target_``: the class of another kind of model (a `LazyModel` of
    `mech_music.models.handle`, made of this config, a device and a number of threads).

    ``path``: a local folder; null means ``hub_id``, or the bundled model without one.

    ``revision``: a commit, tag or branch of ``hub_id``; null means main. ``delay``: steps by which the last codebook
    lags behind the first (a clip has so many steps more than frames). ``cross_attention``: whether the text is
    attended to; in melody it stands before the music.
    """

    _target_: str | None = None
    name: str = MISSING
    hub_id: str | None = None
    revision: str | None = None
    path: str | None = None
    layers: int = MISSING
    frame_rate: float = MISSING  # codec frames a second
    codebooks: int = 4
    delay: int = 3
    cross_attention: bool = True
    dtype: Dtype = Dtype.float32


@dataclass
class ClassifierConfig:
    """The listener that gives each clip its 527 AudioSet probabilities: a class, and where its checkpoint is.

    ``path``: a local file or folder; null means ``hub_id`` at ``revision``, or the class's own. Without ``_target_``
    the class is that of ``conf/classifier/<name>.yaml``.
    """

    _target_: str | None = None
    name: str = MISSING
    path: str | None = None
    hub_id: str | None = None
    revision: str | None = None


@dataclass
class TechniqueConfig:
    """One affine edit, ``out' = scale · out + Σ weight · mean(concept)``.

    ``shift`` gives the weights of the ``original`` and ``desired`` concept's means; ``direction: random`` keeps the
    shift's norm (per step and half) and throws away where it points.
    """

    name: str = MISSING
    scale: float = MISSING
    shift: dict[str, float] = field(default_factory=dict)
    direction: Direction = Direction.mean


@dataclass
class LensConfig:
    """What a residual stream goes through before the final norm and heads. ``name``: decoder (nothing) or tuned.

    A tuned lens is read from ``path`` (the output folder of task=tuned_lens), or found in the store, or trained:
    on ``clips`` of the model's own clips for ``epochs``, ``held_out`` others measuring it; of each clip ``steps``
    autoregressive steps are kept, 0 for all.
    """

    name: str = MISSING
    path: str | None = None
    clips: int = 512
    held_out: int = 100
    steps: int = 64
    epochs: int = 4
    seed: int = 0


@dataclass
class LoggerConfig:
    """Where results go beside the output folder. ``name``: wandb or none."""

    name: str = MISSING
    mode: WandbMode = WandbMode.offline
    project: str = "mech_music"
    entity: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass
class SamplingConfig:
    """MusicGen's defaults. logits = uncond + guidance · (cond − uncond), then top-k at this temperature."""

    top_k: int = 250
    temperature: float = 1.0
    guidance: float = 3.0


@dataclass
class EngineConfig:
    """How clips are made. Zero means automatic.

    ``threads``: one for a narrow model, every core for a wide one. ``workers``: processes that make passes, one for
    each core where a model uses one thread. No result depends on ``pack`` or ``workers``, no token on ``threads``
    (the classifier's last bits may). ``keep_tokens``, ``keep_audio``: what is stored of every clip beside the
    classifier's logits; audio can be remade from tokens, tokens by generating again.
    """

    device: str = "auto"
    pack: int = 0
    store: str | None = None  # null: the user's cache folder
    threads: int = 0
    workers: int = 0
    keep_tokens: bool = True
    keep_audio: bool = False


@dataclass
class AudioConfig:
    """How many original and edited clips are written: those of the strongest and of the weakest effects."""

    strongest: int = 2
    weakest: int = 2


@dataclass
class StatisticsConfig:
    """The paired bootstrap over prompts."""

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0


@dataclass
class RunConfig:
    """One job: a task (an interchange, a lens, …) at some hooks, over some prompts."""

    task: dict[str, Any] = MISSING  # _target_ and the task's own settings
    model: ModelConfig = MISSING
    classifier: ClassifierConfig = MISSING
    technique: TechniqueConfig = MISSING
    lens: LensConfig = MISSING
    logger: LoggerConfig = MISSING
    component: Component = Component.mlp
    layer: str = "all"
    pair: str = "guitar-piano"
    concept: str = "all"
    prompts: int = 100
    seed: int = 0
    duration: float = 4.0  # seconds
    frames: str = "all"
    half: Half = Half.both
    history: History = History.own
    reading: Reading = Reading.free
    strength: float = 1.0
    controls: list[str] = field(default_factory=lambda: ["self", "random", "noise"])
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)


def folder_name(overrides: str) -> str:
    """A job's overrides as a short folder name that every file system takes."""
    kept = "".join(c if c.isalnum() or c in "=,.+-_" else "_" for c in overrides)
    return kept if len(kept) <= 100 else kept[:99] + "~"


def register() -> None:
    """Make the schema and the resolvers of ``conf/`` known to Hydra. May be called again."""
    ConfigStore.instance().store(name="run_schema", node=RunConfig)
    OmegaConf.register_new_resolver("minus", lambda value: -value, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    OmegaConf.register_new_resolver("new_folder", str, replace=True)  # a name: `Validation` makes the folders


def as_run(cfg: DictConfig) -> RunConfig:
    """The composed config as plain typed objects, interpolations resolved; Hydra's own part is left out."""
    composed = copy.copy(cfg)
    with read_write(composed), open_dict(composed):
        composed.pop("hydra", None)
    run = OmegaConf.to_object(composed)
    assert isinstance(run, RunConfig)
    return run


def task_name(run: RunConfig) -> str:
    """``decoder_lens``: the module of the task's class."""
    return str(run.task["_target_"]).split(".")[-2]


def fit_of(lens: LensConfig) -> Fit:
    """The training that a lens is named by."""
    return Fit(study_prompts(), lens.clips, lens.held_out, lens.steps, lens.epochs, lens.seed)


def options(group: str) -> list[str]:
    """The names that can be chosen for a config group, for instance ``technique``."""
    return sorted(file.stem for file in (conf_dir() / group).glob("*.yaml"))


@cache
def classes(group: str) -> tuple[str, ...]:
    """The classes that the files of a config group name, for instance ``task``."""
    files = [OmegaConf.load(conf_dir() / group / f"{name}.yaml") for name in options(group)]
    return tuple(OmegaConf.select(file, "_target_") for file in files)


def experiments() -> list[str]:
    """The composed studies, for instance ``velez2024/fig4``."""
    folder = experiments_dir()
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.yaml"))


def keys(parent: str = "") -> list[str]:
    """The keys of the config, or of one of its parts (``sampling``); none if that is no part."""
    part = get_type_hints(RunConfig).get(parent) if parent else RunConfig
    return [item.name for item in fields(part)] if is_dataclass(part) else []


@cache
def load_technique(name: str, strength: float = 1.0) -> TechniqueConfig:
    """The technique that ``conf/technique/<name>.yaml`` writes; ``strength`` fills its ``${strength}``.

    Raises FileNotFoundError if there is no such file (``options("technique")`` lists them).
    """
    register()
    written = OmegaConf.load(conf_dir() / "technique" / f"{name}.yaml")
    schema = OmegaConf.structured(TechniqueConfig)
    merged = OmegaConf.create({"strength": strength, "technique": OmegaConf.merge(schema, written)})
    return cast(TechniqueConfig, OmegaConf.to_object(merged.technique))


def load_classifier_config(name: str) -> ClassifierConfig:
    """What ``conf/classifier/<name>.yaml`` writes (``options("classifier")`` lists the names)."""
    written = OmegaConf.load(conf_dir() / "classifier" / f"{name}.yaml")
    return cast(ClassifierConfig, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ClassifierConfig), written)))
