"""What types cannot check of a config, in one place, before anything is computed. A task's ``check`` has its axes."""

from __future__ import annotations

import math
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from mech_music.base.errors import UserError, unknown
from mech_music.cli.explain import explain, fail
from mech_music.config.paths import new_folder
from mech_music.config.schema import RunConfig, keys
from mech_music.tasks.registry import as_run, task_of, unknown_key

_MOST_STEPS = 100_000  # of a clip: half an hour of MusicGen, which was trained on 30 s
_SCHEDULERS = ("slurm", "local")
_MOST_SEED = 2**48  # far below what generators take, so that seeds counted on from it are theirs too


class Validation(Callback):
    """Ends the program before an output folder is made for a run that cannot be; gives other runs one of their own."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            validate(as_run(config))
        except Exception as error:
            fail(explain(error))
        _make_folders()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _make_folders()


def _make_folders() -> None:
    """From here on ``${new_folder:…}`` makes it. Cached in the config, so that all jobs of a sweep share one."""
    OmegaConf.register_new_resolver("new_folder", new_folder, use_cache=True, replace=True)


def validate(run: RunConfig) -> None:
    """Raise UserError, one clear line, for the first value that makes no sense."""
    for key in vars(run):
        if key not in keys(type(run)):
            raise UserError(unknown_key(key, task_of(run).name))
    if run.prompts < 2:
        raise UserError(f"prompts={run.prompts}: at least 2 are needed (an interval over prompts is computed)")
    _check_sound(run)
    _check_numbers(run)
    run.check()


def _check_sound(run: RunConfig) -> None:
    if not (math.isfinite(run.duration) and run.duration > 0):
        raise UserError(f"duration={run.duration:g}: expected a number of seconds above 0, for instance 4")
    if run.duration * run.model.frame_rate < 1:
        raise UserError(f"duration={run.duration:g} is shorter than one codec frame ({1 / run.model.frame_rate:g} s)")
    if (steps := run.duration * run.model.frame_rate) > _MOST_STEPS:
        most = _MOST_STEPS / run.model.frame_rate
        raise UserError(f"duration={run.duration:g}: a clip of {steps:.3g} steps; expected at most {most:g} s")
    if run.sampling.top_k < 0:
        raise UserError(f"sampling.top_k={run.sampling.top_k}: expected 0 (no limit) or more; MusicGen's is 250")
    if not (math.isfinite(run.sampling.temperature) and run.sampling.temperature > 0):
        raise UserError(f"sampling.temperature={run.sampling.temperature:g}: expected a number above 0")
    if not math.isfinite(run.sampling.guidance):
        raise UserError(f"sampling.guidance={run.sampling.guidance:g}: expected a finite number; MusicGen's is 3")


def _check_numbers(run: RunConfig) -> None:
    for key, seed in (("seed", run.seed), ("statistics.seed", run.statistics.seed)):
        if not 0 <= seed < _MOST_SEED:
            raise UserError(f"{key}={seed}: expected a whole number from 0 to {_MOST_SEED - 1}")
    at_least = {
        "model.layers": (run.model.layers, 1),
        "statistics.resamples": (run.statistics.resamples, 1),
        "audio.strongest": (run.audio.strongest, 0),
        "audio.median": (run.audio.median, 0),
        "audio.weakest": (run.audio.weakest, 0),
        "engine.pack": (run.engine.pack, 0),
        "engine.threads": (run.engine.threads, 0),
        "engine.workers": (run.engine.workers, 0),
        "engine.submitit.workers": (run.engine.submitit.workers, 1),
        "engine.submitit.time": (run.engine.submitit.time, 1),
        "engine.submitit.gpus": (run.engine.submitit.gpus, 0),
        "engine.submitit.cpus": (run.engine.submitit.cpus, 1),
        "engine.submitit.requeues": (run.engine.submitit.requeues, 0),
        "engine.submitit.restarts": (run.engine.submitit.restarts, 0),
        "engine.ray.workers": (run.engine.ray.workers, 0),
        "engine.ray.gpus": (run.engine.ray.gpus, 0),
        "engine.ray.cpus": (run.engine.ray.cpus, 0),
        "engine.ray.restarts": (run.engine.ray.restarts, 0),
    }
    for key, (value, least) in at_least.items():
        if value < least:
            raise UserError(f"{key}={value}: expected {least} or more")
    if (cluster := run.engine.submitit.cluster) not in _SCHEDULERS:
        raise UserError(unknown("engine.submitit.cluster", cluster, _SCHEDULERS))
    if not 0 < run.statistics.level < 1:
        raise UserError(f"statistics.level={run.statistics.level:g}: expected a number between 0 and 1, such as 0.95")
    if not (math.isfinite(run.statistics.equivalence) and run.statistics.equivalence >= 0):
        raise UserError(f"statistics.equivalence={run.statistics.equivalence:g}: expected a distance of 0 nats or more")
