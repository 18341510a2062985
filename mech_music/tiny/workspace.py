"""A training folder: results of stages, checkpoints within them, and the config that they belong to.

Everything is written to a temporary name and then renamed, so a kill at any moment leaves the old file or the new one.
"""

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.tiny.config import TinyConfig

log = logging.getLogger(__name__)

# What each stage's result depends on, beside seed and threads.
SECTIONS = {
    "corpus": ("corpus",),
    "codec": ("corpus", "codec"),
    "codes": ("corpus", "codec"),
    "mels": ("corpus", "codec", "classifier"),
    "classifier": ("corpus", "codec", "classifier"),
    "language_model": ("corpus", "codec", "language_model"),
    "planted_codes": ("corpus", "codec"),
    "planted": ("corpus", "codec", "language_model", "planted"),
}


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class StageFolder:
    """The folder of one training run. Raises UserError for a folder of another config and for corrupt files."""

    def __init__(self, folder: str, seed: int) -> None:
        self.folder, self.seed = Path(folder), seed
        self.folder.mkdir(parents=True, exist_ok=True)

    def recipe(self, stage: str) -> dict[str, Any]:
        """The part of the config that decides this stage's result (how often to save does not)."""
        raise NotImplementedError

    def result_path(self, stage: str) -> Path:
        """Where a stage's result lies."""
        return self.folder / f"{stage}.safetensors"

    def _seal_path(self, stage: str) -> Path:
        return self.folder / f"{stage}.json"

    def checkpoint_path(self, stage: str) -> Path:
        """Where an unfinished stage keeps its state."""
        return self.folder / f"{stage}.checkpoint.pt"

    def _check_recipe(self, stage: str, found: dict[str, Any], path: Path) -> None:
        wanted = self.recipe(stage)
        if found != wanted:
            differing = ", ".join(sorted(key for key in wanted if found.get(key) != wanted[key]))
            raise UserError(
                f"{path} was trained with another config ({differing} differ): "
                f"choose another folder=… or delete that file to train the stage again"
            )

    def is_done(self, stage: str) -> bool:
        """Whether the stage's sealed result is there, of this config and unaltered."""
        seal_path, path = self._seal_path(stage), self.result_path(stage)
        if not seal_path.is_file():
            return False
        try:
            seal = json.loads(seal_path.read_text())
        except ValueError as error:
            raise UserError(f"{seal_path} is not readable: delete it to train the stage again") from error
        self._check_recipe(stage, seal["recipe"], seal_path)
        if not path.is_file() or file_sha256(path) != seal["sha256"]:
            raise UserError(f"{path} is missing or altered: delete {seal_path} to train the stage again")
        return True

    def seal(self, stage: str) -> None:
        """Mark the result as complete and drop the checkpoint."""
        seal = {"recipe": self.recipe(stage), "sha256": file_sha256(self.result_path(stage))}
        with replacing(self._seal_path(stage)) as path:
            path.write_text(json.dumps(seal, indent=1, sort_keys=True) + "\n")
        self.checkpoint_path(stage).unlink(missing_ok=True)

    def save_tensors(self, stage: str, tensors: dict[str, Tensor]) -> None:
        """Write and seal a stage's tensors."""
        plain = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
        with replacing(self.result_path(stage)) as path:
            save_file(plain, path)
        self.seal(stage)

    def load_tensors(self, stage: str) -> dict[str, Tensor]:
        """The tensors of a finished stage."""
        if not self.is_done(stage):
            raise UserError(f"stage {stage} is not done in {self.folder}: add it to stages=[…]")
        try:
            return load_file(self.result_path(stage))
        except SafetensorError as error:
            raise UserError(f"{self.result_path(stage)} is not readable: delete it and its .json") from error

    def save_checkpoint(self, stage: str, state: dict[str, Any]) -> None:
        """Keep an unfinished stage's state."""
        state = state | {"recipe": self.recipe(stage)}
        with replacing(self.checkpoint_path(stage)) as path:
            torch.save(state, path)

    def load_checkpoint(self, stage: str) -> dict[str, Any] | None:
        """The state of an unfinished stage, or None."""
        path = self.checkpoint_path(stage)
        if not path.is_file():
            return None
        try:
            state = torch.load(path, weights_only=True)
        except Exception as error:  # torch raises many kinds here, all of which mean the same to the user
            raise UserError(f"{path} is not readable: delete it to train the stage again") from error
        self._check_recipe(stage, state["recipe"], path)
        return state


class Workspace(StageFolder):
    """That of the bundled MusicGen, its codec and its classifier."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config.folder, config.seed)
        self.config = config

    def recipe(self, stage: str) -> dict[str, Any]:
        """The part of the config that decides this stage's result (how often to save does not).

        ``planted-<name>`` is the stage planted for one circuit.
        """
        config, (kind, _, circuit) = asdict(self.config), stage.partition("-")
        config["planted"] = config["planted"]["circuits"].get(circuit)
        for section in ("codec", "classifier", "language_model", *(["planted"] if circuit else [])):
            del config[section]["loop"]["save_every"]
        return {key: config[key] for key in ("seed", "threads", *SECTIONS[kind])}

    def result_path(self, stage: str) -> Path:
        """Where a stage's result lies: an array on disk for clips and spectrograms, else tensors."""
        return self.folder / f"{stage}.npy" if stage in ("corpus", "mels") else super().result_path(stage)

    def load_array(self, stage: str) -> np.ndarray:
        """The array of a finished stage, mapped and not read: corpus is int16 [clip, sample], train clips first."""
        if not self.is_done(stage):
            raise UserError(f"stage {stage} is not done in {self.folder}: add it to stages=[…]")
        return np.load(self.result_path(stage), mmap_mode="r")
