"""The bundle of musicgen-tiny-long: language model, codec and text encoder in float16; tiny's classifier by links."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.models.musicgen.bundled import packaged_bundle
from mech_music.tiny import codec, language_model, text_encoder
from mech_music.tiny.bundle import save_checkpoint, write_hashes
from mech_music.tiny.long.config import LongConfig
from mech_music.tiny.long.data import Workspace, vocabulary

FILES = (
    "state_dict.bin", "compression_state_dict.bin",
    "t5/config.json", "t5/model.safetensors", "t5/tokenizer.json", "t5/tokenizer_config.json",
)  # fmt: skip
_SHARED = ("classifier.safetensors", "classifier.json")


def run(workspace: Workspace) -> None:
    """The bundle stage. Raises UserError if a model is not trained."""
    config = workspace.config
    folder = Path(config.bundle) if config.bundle else workspace.folder / "bundle"
    write(folder, config, workspace.load_tensors("corrected"), workspace.load_tensors("codec"))


def write(folder: Path, config: LongConfig, lm_state: dict[str, Tensor], codec_state: dict[str, Tensor]) -> None:
    """Write every file, the hashes last."""
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder / "state_dict.bin", lm_state, language_model.lm_config(config))
    save_checkpoint(folder / "compression_state_dict.bin", codec_state, codec.codec_config(config.codec))
    text_encoder.save(config.language_model, folder / "t5", vocabulary())
    for shared in _SHARED:
        with replacing(folder / shared) as partial:
            partial.symlink_to(os.path.relpath(packaged_bundle() / shared, folder))
    write_hashes(folder, FILES)
