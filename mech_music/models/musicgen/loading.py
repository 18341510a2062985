"""From a checkpoint to a `HookedMusicGen`: the bundled model, a local folder, or a hub id.

Importing audiocraft takes seconds, so that is done only when a model is really loaded.
"""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mech_music.base.errors import UserError
from mech_music.base.machine import n_cores
from mech_music.config.schema import ModelConfig
from mech_music.models.content import Content
from mech_music.models.devices import check_dtype, pick_device
from mech_music.models.musicgen.hub import FILES, Source, find_checkpoint, find_codec
from mech_music.models.musicgen.identity import content, fingerprint
from mech_music.models.musicgen.published import Published

if TYPE_CHECKING:
    from mech_music.models.musicgen.model import HookedMusicGen

__all__ = ["FILES", "Checkpoint", "Source", "find_checkpoint", "fingerprint", "load_model", "pick_device"]


def load_model(
    path: str | None = None,
    hub_id: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
) -> HookedMusicGen:
    """Load a MusicGen checkpoint and hook it (which checks it; see `mech_music.models.musicgen.selfcheck`).

    ``path``: a local folder; ``hub_id`` and ``revision``: a repository of the hub and a commit, tag or branch of it;
    none of them: the bundled model. ``float16`` runs as audiocraft does on a GPU (autocast), ``bfloat16`` likewise
    on either; ``float32`` is the reference. UserError, one line, for whatever is missing or does not fit.
    """
    source = find_checkpoint(path, hub_id, revision)
    return _load(source, content(source.folder), device, dtype)


def _load(source: Source, files: Content, device: str, dtype: str) -> HookedMusicGen:
    """The model, under the content that its files had before they were read; UserError if they changed since."""
    place = pick_device(device)
    check_dtype(dtype, place)
    from mech_music.models.musicgen.build import build
    from mech_music.models.musicgen.model import HookedMusicGen

    musicgen = build(source.folder, place, dtype)
    files.must_be_unchanged(f"the model in '{source.folder}'")
    return HookedMusicGen(musicgen, files.digest)


class Checkpoint:
    """The model that a config asks for, loaded when it is first used.

    Raises UserError at once for files and devices that are not there or are not what the config says, and on
    loading for what is in them. ``source``, for people: where the weights are from, with the hub's commit.
    """

    def __init__(self, model: ModelConfig, device: str, threads: int = 0) -> None:
        self._model, self._device, self._threads = model, device, threads
        self.name = model.name
        place = pick_device(device)
        check_dtype(model.dtype.value, place)
        self._source = find_checkpoint(model.path, model.hub_id, model.revision)
        self.source = self._source.name
        self._files = content(self._source.folder)
        check_config(model, self._source.folder)
        _check_frame_rate(model, _frame_rate(self._source.folder))
        self.weights = self._files.digest
        self.model_id = f"{self.weights} {model.dtype.value} {place.type}"

    @property
    def model(self) -> HookedMusicGen:
        return self._loaded_model

    @cached_property
    def _loaded_model(self) -> HookedMusicGen:
        wanted = self._model
        model = _load(self._source, self._files, self._device, wanted.dtype.value)
        _check_frame_rate(wanted, model.frame_rate)
        torch.set_num_threads(self._threads or _threads_for(model.d_model))
        return model


def check_config(model: ModelConfig, folder: Path) -> None:
    """UserError where the shape that a config states is not that of the checkpoint in ``folder``."""
    file = Published.open(folder / FILES[0])
    lm = file.config
    checkpoint = {
        "layers": lm.transformer_lm.num_layers,
        "codebooks": lm.transformer_lm.n_q,
        "delay": max(lm.codebooks_pattern.delay.delays),
        "cross_attention": file.cross_attention,
        "heads": lm.transformer_lm.num_heads,
    }
    for key, theirs in checkpoint.items():
        if (ours := getattr(model, key)) != theirs and (ours or key != "heads"):  # a config may leave heads out
            ours, theirs = json.dumps(ours), json.dumps(theirs)
            raise UserError(
                f"model.{key}={ours}, but the checkpoint in '{folder}' has {theirs}: set model.{key}={theirs}"
            )


def _check_frame_rate(model: ModelConfig, found: float) -> None:
    """UserError where a config's seconds are not the codec's."""
    if model.frame_rate != found:
        raise UserError(
            f"model.frame_rate={model.frame_rate:g}, but the checkpoint's codec makes {found:g} frames a second: set "
            f"model.frame_rate={found:g}"
        )


def _frame_rate(folder: Path) -> float:
    """What the codec's files say, without loading it: stored clips are served before a model is there."""
    codec = Published.open(folder / FILES[1])
    if name := codec.content.get("pretrained"):
        # transformers leaves out what is its default, that of the codec for 24 kHz.
        told = {"sampling_rate": 24_000, "upsampling_ratios": [8, 5, 4, 2]}
        told |= json.loads((find_codec(name) / "config.json").read_text())
        return told["sampling_rate"] / math.prod(told["upsampling_ratios"])
    return codec.config.encodec.sample_rate / math.prod(codec.config.seanet.ratios)


def _threads_for(d_model: int) -> int:
    """One thread for a narrow model, whose operations are too short to share; every core for a wide one."""
    return 1 if d_model < 512 else n_cores()
