"""The axes of an SAE on the command line, and the sources that they stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mech_music.base.errors import UserError, first_line, unknown
from mech_music.config.schema import IF_GIVEN, NEVER, Dtype
from mech_music.edits.row import Half, Prompts
from mech_music.models.hooks import Hook
from mech_music.prompts.concepts import Prompt
from mech_music.prompts.prompt_set import PromptSet
from mech_music.saes.corpus import OpenCorpus, open_corpus
from mech_music.saes.folder import find_sae
from mech_music.saes.named import Corpus, Dictionary, GivenClip, Harvest, SaeFile, SaeFit, TrainedSae, Training

_HELD_OUT_SEED = 3_000_017  # of the noise of held-out clips, beside that of the clips trained on
_CLIPS_OF_A_PROMPT = 2
_HELD_OUT = 200  # prompts or recordings, unless said otherwise
_CHECKED = 16


class Compute(StrEnum):
    """The format of products in training; weights and their updates are float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


@dataclass
class SaeConfig:
    """An SAE: read from ``path``, or found in the store, or trained.

    ``path``: a folder in a format of `mech_music.saes.folder`, or ``hub:<owner>/<name>/<folder>`` at ``revision``;
    ``hook``: what a file's own name of its hook stands for, null for what it is taken for; ``check_hook``: whether a
    file's SAE is tried at neighbouring hooks as well.

    ``width``: features; ``k``: features of a vector (topk, batchtopk, matryoshka); ``sparsity``: the penalty's weight
    (relu, jumprelu). Trained on ``clips`` of the model's own clips, vectors of ``half``, for ``epochs`` in batches of
    ``batch`` vectors at Adam's ``rate``, products in the format ``compute``; kept on disk as ``dtype``. ``held_out``
    prompts (null: 200, or a quarter of all), two clips of each, are for evaluation, and the first ``spliced`` of their
    clips for what becomes of the model's distributions.

    ``corpus``: in the place of the model's own clips, those of audio files, a folder or a manifest
    (`mech_music.saes.corpus`): read with ``prompt`` (empty: with none), a clip of ``seconds`` (the run's duration)
    every ``every`` seconds of a file, or its first; ``held_out`` recordings are for evaluation, unless the manifest
    says which. ``skip_unreadable``: go on without files that cannot be used.
    """

    path: str | None = None
    revision: str | None = field(default=None, metadata=IF_GIVEN)
    hook: str | None = field(default=None, metadata=IF_GIVEN)
    check_hook: bool = field(default=True, metadata=IF_GIVEN)
    width: int = 256
    k: int = 16
    activation: Training = Training.topk
    sparsity: float = 0.3
    clips: int = 1350
    held_out: int | None = None
    spliced: int = 64
    epochs: int = 10
    batch: int = 1024
    rate: float = 3e-3
    half: Half = Half.cond
    dtype: Dtype = Dtype.float16
    compute: Compute = field(default=Compute.float32, metadata=IF_GIVEN)
    seed: int = 0
    corpus: str | None = field(default=None, metadata=IF_GIVEN)
    prompt: str = field(default="", metadata=IF_GIVEN)
    every: float | None = field(default=None, metadata=IF_GIVEN)
    skip_unreadable: bool = field(default=False, metadata=IF_GIVEN)
    seconds: float = field(default=4.0, metadata=NEVER)

    @property
    def opened(self) -> OpenCorpus:
        """The corpus. UserError if it cannot be used."""
        assert self.corpus is not None
        n = _HELD_OUT if self.held_out is None else self.held_out
        return open_corpus(self.corpus, self.seconds, self.every, n, self.seed, self.prompt, self.skip_unreadable)

    @property
    def told(self) -> str:
        """In a table's axis: what tells SAEs apart beside width, k, activation, half and seed."""
        if self.path is not None:
            return f"file {self.file.digest[:12]}"
        weight = "" if self.activation.counts else f", sparsity {self.sparsity:g}"
        compute = "" if self.compute is Compute.float32 else f", {self.compute.value}"
        n, of = self.clips, ""
        if self.corpus is not None:
            n, of = min(n, len(self.opened.train)), f" of corpus {self.opened.digest[:12]}{self._how_read}"
        return f"{n} clips{of}, {self.epochs} epochs, batch {self.batch}, rate {self.rate:g}{weight}{compute}"

    @property
    def _how_read(self) -> str:
        every = f", every {self.every:g} s" if self.every is not None else ""
        return every + (f", prompt '{self.prompt}'" if self.prompt else "")

    @property
    def file(self) -> SaeFile:
        """The one that ``path`` names. UserError if there is none."""
        assert self.path is not None
        return find_sae(self.path, self.revision, self.hook)


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
    if sae.every is not None and not (math.isfinite(sae.every) and sae.every > 0):
        raise UserError(f"sae.every={sae.every:g}: expected seconds from one clip of a file to the next, or null")
    if sae.corpus is None:
        _check_prompts(sae, study)
    if sae.spliced > (n := held_out(sae, study).n_clips):
        raise UserError(f"sae.spliced={sae.spliced}: expected at most the {n} held-out clips")
    if sae.path is not None:
        _ = sae.file
    elif given := next((key for key in ("revision", "hook") if getattr(sae, key) is not None), None):
        raise UserError(
            f"sae.{given}={getattr(sae, given)} belongs to an SAE that is read: give sae.path, or leave it out"
        )
    if sae.hook is not None:
        Hook.parse(sae.hook)


def _check_prompts(sae: SaeConfig, study: PromptSet) -> None:
    most = len(study.balanced_prompts) // 2
    if not 2 <= n_held_out(sae, study) <= most:
        raise UserError(f"sae.held_out={sae.held_out}: expected 2 to {most} (other prompts are trained on)")
    for key in ("every", "prompt", "skip_unreadable"):
        if value := getattr(sae, key):
            raise UserError(f"sae.{key}={value}: this is said of audio files: give sae.corpus=<folder or manifest>")


def n_held_out(sae: SaeConfig, study: PromptSet) -> int:
    """Prompts that nothing is trained on."""
    return min(_HELD_OUT, len(study.balanced_prompts) // 4) if sae.held_out is None else sae.held_out


def trained_on(sae: SaeConfig, study: PromptSet) -> Harvest | Corpus:
    """The clips that an SAE is trained on, and features are chosen by: of prompts in balanced order, or recordings."""
    if sae.corpus is not None:
        return _corpus(sae.corpus, sae.opened.train[: sae.clips], sae.dtype.value)
    prompts = study.balanced_prompts[: -n_held_out(sae, study)]
    return Harvest(_named(prompts, "trained on"), sae.clips, sae.seed, sae.dtype.value)


def held_out(sae: SaeConfig, study: PromptSet) -> Harvest | Corpus:
    """The clips of other prompts, or recordings, that it is evaluated on."""
    if sae.corpus is not None:
        return _corpus(sae.corpus, sae.opened.test, sae.dtype.value)
    n = n_held_out(sae, study)
    prompts = _named(study.balanced_prompts[-n:], "held out")
    return Harvest(prompts, _CLIPS_OF_A_PROMPT * n, _HELD_OUT_SEED + sae.seed, sae.dtype.value)


def checked(sae: SaeConfig, study: PromptSet) -> Harvest | Corpus:
    """The first held-out clips, of different prompts, on which a file's hook is compared with its neighbours."""
    held = held_out(sae, study)
    if isinstance(held, Corpus):
        return _corpus(str(sae.corpus), held.clips[:_CHECKED], held.dtype)
    return Harvest(held.prompts, min(_CHECKED, n_held_out(sae, study)), held.seed, held.dtype)


def spliced(sae: SaeConfig, study: PromptSet) -> Harvest | Corpus:
    """The first of these clips."""
    held = held_out(sae, study)
    if isinstance(held, Corpus):
        return _corpus(str(sae.corpus), held.clips[: sae.spliced], held.dtype)
    return Harvest(held.prompts, sae.spliced, held.seed, held.dtype)


def named_by(sae: SaeConfig, hook: str, study: PromptSet) -> Dictionary:
    """The SAE at a hook that the axes stand for. UserError for a folder without one."""
    if sae.path is not None:
        return sae.file
    fit = SaeFit(
        trained_on(sae, study),
        sae.width,
        sae.k if sae.activation.counts else 0,
        sae.activation,
        0.0 if sae.activation.counts else sae.sparsity,
        sae.epochs,
        sae.batch,
        sae.rate,
        sae.seed,
        sae.half,
        sae.compute.value,
    )
    return TrainedSae(hook, fit)


@cache
def _corpus(where: str, clips: tuple[GivenClip, ...], dtype: str) -> Corpus:
    """Kept by where it lies as well: clips are equal wherever they lie."""
    return Corpus.of(clips, dtype)


@cache
def _named(prompts: tuple[Prompt, ...], name: str) -> Prompts:
    return Prompts.of([prompt.text for prompt in prompts], name)
