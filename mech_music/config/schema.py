"""The schema of a run: what every task has, with its type, unit and default. A task adds axes (``settings.py``).

``conf/`` composes it (one folder per group) and the command line overrides it. This module imports nothing
heavy, so that ``--help`` and a mistyped word are answered at once.
"""

from __future__ import annotations

import json
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, cast

from omegaconf import MISSING, OmegaConf

from mech_music.config.paths import find_config, package_folder
from mech_music.edits.row import Fit
from mech_music.prompts.declared import PromptSetConfig
from mech_music.prompts.prompt_set import PromptSet

IF_GIVEN = {"named": "if given"}
"""Marks a key that takes part in a run's name only where it is not left at its default: runs keep their names when a
key is added."""
NEVER = {"named": "never"}
"""Marks a key that decides no result."""


class Dtype(StrEnum):
    """The number format of the language model's weights; float32 is the reference."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Direction(StrEnum):
    """Where an edit moves what is there: along the concepts' means, or as far in a random direction."""

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
    attended to; in melody it stands before the music. ``heads``: of each attention, 0 where the config does not say.
    """

    _target_: str | None = None
    name: str = MISSING
    hub_id: str | None = None
    revision: str | None = None
    path: str | None = None
    layers: int = MISSING
    heads: int = field(default=0, metadata=NEVER)
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

    ``shift`` gives the weights of means: of the ``original`` and the ``desired`` concept, of one by its name, or of
    the ``others`` of the original's category, taken together. ``along``: the same, of a direction; only what lies along
    it is scaled (and there is no shift). ``direction: random`` keeps how far the edit moves what is there, and throws
    away where to. With ``sae`` (the keys of `mech_music.saes.settings.SaeConfig`), weights are not of means but of the
    decoder's direction of the feature that tells the concept best, as long as its largest activation.
    """

    name: str = MISSING
    scale: float = MISSING
    shift: dict[str, float] = field(default_factory=dict)
    direction: Direction = Direction.mean
    along: dict[str, float] = field(default_factory=dict, metadata=IF_GIVEN)
    sae: dict[str, Any] = field(default_factory=dict, metadata=IF_GIVEN)


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


class ExecutorName(StrEnum):
    """Who makes passes: this command and its own processes, jobs of a Slurm cluster, or actors of a Ray cluster."""

    local = "local"
    submitit = "submitit"
    ray = "ray"


class DecodeName(StrEnum):
    """How tokens are made: traced by nnsight, or by steps of fixed shape (CUDA graphs) where edits allow it."""

    traced = "traced"
    static = "static"


@dataclass
class SubmititConfig:
    """Workers as one job array. ``cluster``: slurm, or local (processes of this machine, to try it).

    ``workers``: jobs, at most; no more are started than there are passes. For each: ``gpus``, ``cpus``, ``mem`` (as
    Slurm writes it: 16GB) and ``time``, in minutes; one that reaches it, or is preempted, is queued again, for its time
    at most ``requeues`` times. ``restarts``: how many workers may die, one after the other with no clip stored
    between, before the command gives up. ``setup``: lines of shell before each worker. ``parameters``: any others of
    sbatch (account, qos, constraint). ``folder``: logs; null: ``jobs/`` in the store.
    """

    cluster: str = "slurm"
    workers: int = 4
    partition: str | None = None
    time: int = 240  # minutes
    gpus: int = 0
    cpus: int = 2
    mem: str | None = None
    setup: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    requeues: int = 10
    restarts: int = 3
    folder: str | None = None


@dataclass
class RayConfig:
    """Workers as actors. ``address``: of a cluster (``auto``: the one that this machine is in); null starts one here.

    ``workers``: actors, 0 for as many as the cluster's nodes have room for, those that join later too. For each:
    ``gpus`` (0.5: two share a card) and ``cpus``. ``shared``: whether the nodes see the store's folder; null looks for
    itself, and what is made where they do not travels through Ray. ``restarts``: as for submitit.
    """

    address: str | None = None
    workers: int = 0
    gpus: float = 0.0
    cpus: float = 1.0
    shared: bool | None = None
    restarts: int = 3


@dataclass
class EngineConfig:
    """How clips are made. Zero means automatic.

    ``threads``: one for a narrow model, every core for a wide one. ``workers``: processes that make passes, one for
    each core where a model uses one thread. No result depends on ``pack`` or ``workers``, no token on ``threads``
    (the classifier's last bits may). ``keep_tokens``, ``keep_audio``: what is stored of every clip beside the
    classifier's logits; audio can be remade from tokens, tokens by generating again. ``keep_activations``: whether what
    SAEs are trained on is stored; if not, it is made whenever it is read, with the same numbers. ``executor``: who
    makes passes, as ``submitit`` and ``ray`` say in detail; no result depends on it. ``decode``: traced serves
    everything; static serves affine edits of MusicGen's stream and branches, with the same tokens on a CPU, and leaves
    all else to traced.
    """

    device: str = "auto"
    pack: int = 0
    store: str | None = None  # null: the user's cache folder
    threads: int = 0
    workers: int = 0
    keep_tokens: bool = True
    keep_audio: bool = False
    keep_activations: bool = True
    decode: DecodeName = DecodeName.traced
    executor: ExecutorName = ExecutorName.local
    submitit: SubmititConfig = field(default_factory=SubmititConfig)
    ray: RayConfig = field(default_factory=RayConfig)


@dataclass
class AudioConfig:
    """How many original and edited clips are written: of the strongest, of the median and of the weakest effects."""

    strongest: int = 2
    median: int = 1
    weakest: int = 2


@dataclass
class StatisticsConfig:
    """Intervals and marks over prompts. ``equivalence``: a distance from every control that counts as no effect."""

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0
    equivalence: float = 1.0


@dataclass
class TaskConfig:
    """The task, by its class (`mech_music.tasks.protocol`)."""

    _target_: str = MISSING


@dataclass
class RunConfig:
    """One job of any task. A task's ``settings`` extend it by the task's own axes."""

    task: TaskConfig = MISSING
    model: ModelConfig = MISSING
    classifier: ClassifierConfig = MISSING
    logger: LoggerConfig = MISSING
    prompt_set: PromptSetConfig = MISSING
    prompts: int = 100
    seed: int = 0
    duration: float = 4.0  # seconds
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)

    @property
    def study(self) -> PromptSet:
        """The prompt set, read and checked: concepts, pairs and prompts. UserError if something is wrong in it."""
        return self.prompt_set.opened

    def check(self) -> None:
        """Raise UserError, one clear line, for the first of the task's own axes that makes no sense."""

    def also_named(self) -> dict[str, Any]:
        """What decides results beside the config's own values, and so is part of a run's name."""
        return {}

    def told_apart(self) -> list[str]:
        """The values that tell runs of the task apart, for people."""
        return []


def folder_name(overrides: str) -> str:
    """A job's overrides as a short folder name that every file system takes."""
    kept = "".join(c if c.isalnum() or c in "=,.+-_" else "_" for c in overrides)
    return kept if len(kept) <= 100 else kept[:99] + "~"


def register_resolvers() -> None:
    """Make the resolvers of ``conf/`` known. May be called again."""
    OmegaConf.register_new_resolver(
        "minus", lambda first, *second: first - second[0] if second else -first, replace=True
    )
    OmegaConf.register_new_resolver("package", package_folder, replace=True)
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    OmegaConf.register_new_resolver("new_folder", str, replace=True)  # a name: `Validation` makes the folders


def naming(run: RunConfig) -> dict[str, Any]:
    """The config as plain values, without the keys that are no part of a run's name (`IF_GIVEN`, `NEVER`), and with
    what else decides its results (`RunConfig.also_named`)."""
    return _without_unnamed(run, json.loads(json.dumps(asdict(run)))) | run.also_named()


def _without_unnamed(config: Any, told: dict[str, Any]) -> dict[str, Any]:
    for item in fields(config):
        value, named = getattr(config, item.name), item.metadata.get("named")
        if named == "never" or (named and value == _default(item)):
            del told[item.name]
        elif is_dataclass(value):
            _without_unnamed(value, told[item.name])
    return told


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is NO_DEFAULT else item.default_factory()


def fit_of(lens: LensConfig, study: PromptSet) -> Fit:
    """The training that a lens is named by."""
    return Fit(study.every_prompt, lens.clips, lens.held_out, lens.steps, lens.epochs, lens.seed)


def keys(of: Any) -> list[str]:
    """The keys of a config class; none if ``of`` is no such class."""
    return [item.name for item in fields(of)] if is_dataclass(of) else []


def load_technique(name: str, strength: float = 1.0) -> TechniqueConfig:
    """The technique that ``technique/<name>.yaml`` writes; ``strength`` fills its ``${strength}``.

    UserError if there is no such file (``options("technique")`` lists them).
    """
    return _technique(find_config("technique", name), strength)


@cache
def _technique(path: Path, strength: float) -> TechniqueConfig:
    register_resolvers()
    schema = OmegaConf.structured(TechniqueConfig)
    merged = OmegaConf.create({"strength": strength, "technique": OmegaConf.merge(schema, OmegaConf.load(path))})
    return cast(TechniqueConfig, OmegaConf.to_object(merged.technique))


def load_classifier_config(name: str) -> ClassifierConfig:
    """What ``classifier/<name>.yaml`` writes (``options("classifier")`` lists the names)."""
    written = OmegaConf.load(find_config("classifier", name))
    return cast(ClassifierConfig, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ClassifierConfig), written)))
