"""What types cannot check of a config, in one place, before anything is computed."""

from __future__ import annotations

import math
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from mech_music.cli.explain import explain, fail, unknown
from mech_music.config.axes import lens_layers, n_steps, parse_frames, parse_layers
from mech_music.config.paths import new_folder
from mech_music.config.schema import RunConfig, as_run, keys, task_name
from mech_music.errors import UserError
from mech_music.models.hooks import Component
from mech_music.prompts.concepts import concept_prompts, every_prompt, resolve_concepts, resolve_pairs
from mech_music.results.columns import CONTROLS

_READING_LAYERS = ("decoder_lens", "tuned_lens", "self_similarity")


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
    _check_keys(run)
    _check_prompts(run)
    _check_sound(run)
    parse_layers(run.layer, run.model.layers)
    parse_frames(run.frames, n_steps(run), run.model.frame_rate)
    _check_component(run)
    _check_technique(run)
    _check_lens(run)
    _check_numbers(run)


def _check_keys(run: RunConfig) -> None:
    for key in vars(run):
        if key not in keys():
            raise UserError(unknown("key", key, keys()))


def _check_prompts(run: RunConfig) -> None:
    if run.prompts < 2:
        raise UserError(f"prompts={run.prompts}: at least 2 are needed (an interval over prompts is computed)")
    try:
        paired = [concept for pair in resolve_pairs(run.pair) for concept in pair]
        for concept in dict.fromkeys([*paired, *resolve_concepts(run.concept)]):
            concept_prompts(concept, run.prompts)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_sound(run: RunConfig) -> None:
    if not (math.isfinite(run.duration) and run.duration > 0):
        raise UserError(f"duration={run.duration:g}: expected a number of seconds above 0, for instance 4")
    if run.duration * run.model.frame_rate < 1:
        raise UserError(f"duration={run.duration:g} is shorter than one codec frame ({1 / run.model.frame_rate:g} s)")
    if run.sampling.top_k < 0:
        raise UserError(f"sampling.top_k={run.sampling.top_k}: expected 0 (no limit) or more; MusicGen's is 250")
    if not (math.isfinite(run.sampling.temperature) and run.sampling.temperature > 0):
        raise UserError(f"sampling.temperature={run.sampling.temperature:g}: expected a number above 0")
    if not math.isfinite(run.sampling.guidance):
        raise UserError(f"sampling.guidance={run.sampling.guidance:g}: expected a finite number; MusicGen's is 3")


def _check_component(run: RunConfig) -> None:
    if run.component is Component.ca and not run.model.cross_attention:
        others = ", ".join(component for component in Component if component is not Component.ca)
        raise UserError(
            f"component=ca: model '{run.model.name}' has no cross-attention, its text stands before the music; "
            f"allowed: {others}"
        )


def _check_technique(run: RunConfig) -> None:
    if not math.isfinite(run.strength):
        raise UserError(f"strength={run.strength:g}: expected a finite number")
    allowed = [control.value for control in CONTROLS]
    for control in run.controls:
        if control not in allowed:
            raise UserError(unknown("control", control, allowed))
    for concept, weight in run.technique.shift.items():
        if concept not in ("original", "desired"):
            raise UserError(unknown("concept in technique.shift", concept, ("original", "desired")))
        if not math.isfinite(weight):
            raise UserError(f"technique.shift.{concept}={weight:g}: expected a finite number")
    if not math.isfinite(run.technique.scale):
        raise UserError(f"technique.scale={run.technique.scale:g}: expected a finite number")


def _check_lens(run: RunConfig) -> None:
    if task_name(run) in _READING_LAYERS:
        lens_layers(run)
    if run.lens.name not in ("decoder", "tuned"):
        raise UserError(unknown("lens", run.lens.name, ("decoder", "tuned")))
    most = len(every_prompt()) // 2
    if not 2 <= run.lens.held_out <= most:
        raise UserError(f"lens.held_out={run.lens.held_out}: expected 2 to {most} (other prompts are trained on)")


def _check_numbers(run: RunConfig) -> None:
    at_least = {
        "model.layers": (run.model.layers, 1),
        "statistics.resamples": (run.statistics.resamples, 1),
        "audio.strongest": (run.audio.strongest, 0),
        "audio.weakest": (run.audio.weakest, 0),
        "engine.pack": (run.engine.pack, 0),
        "engine.threads": (run.engine.threads, 0),
        "engine.workers": (run.engine.workers, 0),
        "lens.clips": (run.lens.clips, 2),
        "lens.steps": (run.lens.steps, 0),
        "lens.epochs": (run.lens.epochs, 1),
    }
    for key, (value, least) in at_least.items():
        if value < least:
            raise UserError(f"{key}={value}: expected {least} or more")
    if not 0 < run.statistics.level < 1:
        raise UserError(f"statistics.level={run.statistics.level:g}: expected a number between 0 and 1, such as 0.95")
