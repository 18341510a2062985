"""The symbolic model that a config asks for, loaded when it is first used."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import torch

from mech_music.base.errors import UserError
from mech_music.config.paths import package_folder
from mech_music.config.schema import ModelConfig
from mech_music.models.content import Content
from mech_music.models.devices import check_dtype, pick_device
from mech_music.models.symbolic.decoder import N_CONTROLS
from mech_music.models.symbolic.files import FILES, load_decoder, read_config
from mech_music.models.symbolic.model import FRAME_RATE, SymbolicGenerator

BUNDLED = Path(package_folder("tiny/symbolic"))


def folder_of(config: ModelConfig) -> Path:
    """Where the files of a model are: ``path``, or the bundled ones."""
    return Path(config.path).expanduser() if config.path else BUNDLED


class SymbolicModel:
    """A `mech_music.models.handle.LazyModel`; ``path`` null means the bundled one.

    UserError at once for a folder without a model and a device that is not there, and on loading for what is in the
    files.
    """

    def __init__(self, config: ModelConfig, device: str, threads: int = 0) -> None:
        self._config, self._device, self._threads = config, pick_device(device), threads
        check_dtype(config.dtype.value, self._device)
        if config.dtype.value != "float32":
            raise UserError(f"model.dtype={config.dtype.value}: symbolic models run in float32; leave model.dtype out")
        if config.hub_id:
            raise UserError(f"model.hub_id={config.hub_id}: symbolic models are local; set model.path to a folder")
        folder = folder_of(config)
        read_config(folder)
        self.name, self.source, self._folder = config.name, str(config.path or "bundled"), folder
        self._files = Content(lambda: [folder / name for name in FILES])
        self.weights = self._files.digest
        self.model_id = f"{self.weights} float32 {self._device.type}"

    @property
    def model(self) -> SymbolicGenerator:
        return self._loaded

    @cached_property
    def _loaded(self) -> SymbolicGenerator:
        decoder = load_decoder(self._folder).to(self._device)
        self._files.must_be_unchanged(f"the model in '{self._folder}'")
        model = SymbolicGenerator(decoder, self.weights)
        self._check(model)
        torch.set_num_threads(self._threads or 1)  # its operations are too short to share
        return model

    def _check(self, model: SymbolicGenerator) -> None:
        found = {
            "layers": model.n_layers,
            "heads": model.n_heads,
            "codebooks": model.n_codebooks,
            "frame_rate": FRAME_RATE,
            "delay": N_CONTROLS - 1,
            "cross_attention": False,
        }
        for key, theirs in found.items():
            if (ours := getattr(self._config, key)) != theirs:
                right = json.dumps(theirs)
                raise UserError(f"model.{key}={json.dumps(ours)}, but this model has {right}: set model.{key}={right}")
