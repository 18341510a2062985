"""The bundle: trained weights in float16, in the files that audiocraft and `mech_music.listeners.classifier` read."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.tiny import classifier, codec, language_model, text_encoder
from mech_music.tiny.workspace import Workspace, file_sha256

log = logging.getLogger(__name__)

FILES = (
    "state_dict.bin", "compression_state_dict.bin", "classifier.safetensors", "classifier.json",
    "t5/config.json", "t5/model.safetensors", "t5/tokenizer.json", "t5/tokenizer_config.json",
)  # fmt: skip


def _half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def save_checkpoint(path: Path, state: dict[str, Tensor], config: dict[str, Any]) -> None:
    """A checkpoint as audiocraft exports it: tensors and the config as YAML, nothing that needs unpickling."""
    checkpoint = {"best_state": _half(state), "xp.cfg": OmegaConf.to_yaml(OmegaConf.create(config), resolve=False)}
    with replacing(path) as partial, partial.open("wb") as file:  # a path's own name would become part of the file
        torch.save(checkpoint, file)


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, in float32 again. UserError if it is not there."""
    if not path.is_file():
        raise UserError(f"{path} is missing: add bundle to stages=[…], or set bundle=… to the folder of a bundle")
    state = torch.load(path, weights_only=True)["best_state"]
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def run(workspace: Workspace) -> None:
    """The bundle stage: write every file, the hashes last. Raises UserError if a model is not trained."""
    config = workspace.config
    folder = Path(config.bundle) if config.bundle else workspace.folder / "bundle"
    folder.mkdir(parents=True, exist_ok=True)
    language_state = workspace.load_tensors("language_model")
    save_checkpoint(folder / "state_dict.bin", language_state, language_model.lm_config(config))
    codec_state = workspace.load_tensors("codec")
    save_checkpoint(folder / "compression_state_dict.bin", codec_state, codec.codec_config(config.codec))
    text_encoder.save(config.language_model, folder / "t5")
    weights = _half(workspace.load_tensors("classifier"))
    with replacing(folder / "classifier.safetensors") as path:
        save_file(weights, path)
    with replacing(folder / "classifier.json") as path:
        path.write_text(json.dumps(asdict(classifier.shape(config)), indent=1) + "\n")
    write_hashes(folder, FILES)


def write_hashes(folder: Path, names: Sequence[str]) -> None:
    """Write the hashes that a folder's files are verified by."""
    hashes = {name: file_sha256(folder / name) for name in names}
    with replacing(folder / "hashes.json") as path:
        path.write_text(json.dumps(hashes, indent=1) + "\n")
    size = sum((folder / name).stat().st_size for name in names)
    log.info("bundle of %.1f MB in %s", size / 1e6, folder)
