"""The axes of an SAE on the command line, and the sources that they stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mech_music.base.errors import UserError, first_line, unknown
from mech_music.config.schema import Dtype
from mech_music.edits.row import Half, Prompts
from mech_music.prompts.concepts import Prompt
from mech_music.prompts.prompt_set import PromptSet
from mech_music.saes.folder import find_sae
from mech_music.saes.named import Dictionary, Harvest, SaeFit, TrainedSae, Training

_HELD_OUT_SEED = 3_000_017  # of the noise of held-out clips, beside that of the clips trained on
_CLIPS_OF_A_PROMPT = 2


@dataclass
class SaeConfig:
    """An SAE: read from ``path`` (a folder in SAELens' format), or found in the store, or trained.

    ``width``: features; ``k``: features of a vector (topk, batchtopk); ``sparsity``: the penalty's weight (relu,
    jumprelu). Trained on ``clips`` of the model's own clips, vectors of ``half``, for ``epochs`` in batches of
    ``batch`` vectors at Adam's ``rate``; kept on disk as ``dtype``. ``held_out`` prompts, two clips of each, are for
    evaluation, and the first ``spliced`` of their clips for what becomes of the model's distributions.
    """

    path: str | None = None
    width: int = 256
    k: int = 16
    activation: Training = Training.topk
    sparsity: float = 0.3
    clips: int = 1350
    held_out: int = 200
    spliced: int = 64
    epochs: int = 10
    batch: int = 1024
    rate: float = 3e-3
    half: Half = Half.cond
    dtype: Dtype = Dtype.float16
    seed: int = 0

    @property
    def told(self) -> str:
        """In a table's axis: what tells SAEs apart beside width, k, activation, half and seed."""
        if self.path is not None:
            return f"file {find_sae(self.path).digest[:12]}"
        weight = "" if self.activation in (Training.topk, Training.batchtopk) else f", sparsity {self.sparsity:g}"
        return f"{self.clips} clips, {self.epochs} epochs, batch {self.batch}, rate {self.rate:g}{weight}"


def sae_of(written: Mapping[str, Any]) -> SaeConfig:
    """The axes that a config gives as plain values; all others have their defaults. UserError for one that is none."""
    allowed = [item.name for item in fields(SaeConfig)]
    if strange := [key for key in written if key not in allowed]:
        raise UserError(unknown("key of sae", strange[0], allowed))
    try:
        merged: Any = OmegaConf.merge(OmegaConf.structured(SaeConfig), dict(written))
        return cast(SaeConfig, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise UserError(f"sae: {first_line(error)}") from error


def check_sae_config(sae: SaeConfig, study: PromptSet) -> None:
    """UserError for the first value that makes no sense."""
    for key, least in (("width", 1), ("k", 1), ("clips", 2), ("epochs", 1), ("batch", 2), ("spliced", 2)):
        if (value := getattr(sae, key)) < least:
            raise UserError(f"sae.{key}={value}: expected {least} or more")
    if sae.k > sae.width:
        raise UserError(f"sae.k={sae.k}: expected 1 to sae.width, {sae.width}")
    for key in ("rate", "sparsity"):
        if not (math.isfinite(value := getattr(sae, key)) and value > 0):
            raise UserError(f"sae.{key}={value:g}: expected a number above 0")
    most = len(study.balanced_prompts) // 2
    if not 2 <= sae.held_out <= most:
        raise UserError(f"sae.held_out={sae.held_out}: expected 2 to {most} (other prompts are trained on)")
    if sae.spliced > (n := _CLIPS_OF_A_PROMPT * sae.held_out):
        raise UserError(f"sae.spliced={sae.spliced}: expected at most the {n} held-out clips")
    if sae.path is not None:
        find_sae(sae.path)


def trained_on(sae: SaeConfig, study: PromptSet) -> Harvest:
    """The clips that an SAE is trained on, and features are chosen by: prompts in their balanced order."""
    prompts = study.balanced_prompts[: -sae.held_out]
    return Harvest(_named(prompts, "trained on"), sae.clips, sae.seed, sae.dtype.value)


def held_out(sae: SaeConfig, study: PromptSet) -> Harvest:
    """The clips of other prompts that it is evaluated on."""
    prompts = study.balanced_prompts[-sae.held_out :]
    return Harvest(
        _named(prompts, "held out"), _CLIPS_OF_A_PROMPT * sae.held_out, _HELD_OUT_SEED + sae.seed, sae.dtype.value
    )


def spliced(sae: SaeConfig, study: PromptSet) -> Harvest:
    """The first of these clips."""
    held = held_out(sae, study)
    return Harvest(held.prompts, sae.spliced, held.seed, held.dtype)


def named_by(sae: SaeConfig, hook: str, study: PromptSet) -> Dictionary:
    """The SAE at a hook that the axes stand for. UserError for a folder without one."""
    if sae.path is not None:
        return find_sae(sae.path)
    fit = SaeFit(
        trained_on(sae, study),
        sae.width,
        sae.k if sae.activation in (Training.topk, Training.batchtopk) else 0,
        sae.activation,
        0.0 if sae.activation in (Training.topk, Training.batchtopk) else sae.sparsity,
        sae.epochs,
        sae.batch,
        sae.rate,
        sae.seed,
        sae.half,
    )
    return TrainedSae(hook, fit)


@cache
def _named(prompts: tuple[Prompt, ...], name: str) -> Prompts:
    return Prompts.of([prompt.text for prompt in prompts], name)
