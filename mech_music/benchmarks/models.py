"""The models that are measured: the bundled one, and one of musicgen-small's shape with random weights.

Both are checkpoint folders, so that audiocraft's loader and ours read the same files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from mech_music.base.quiet import quiet_imports
from mech_music.benchmarks.config import Shape
from mech_music.tiny import bundle_dir, register_t5

FRAME_RATE = 25  # codec frames a second, of both models' codecs


@dataclass(frozen=True)
class Subject:
    """A checkpoint folder. ``name``: as the table calls it."""

    name: str
    folder: Path
    layers: int


def bundled() -> Subject:
    """The bundled tiny model."""
    return Subject("tiny", bundle_dir(), 8)


def make_random(shape: Shape, folder: Path) -> Subject:
    """Write a checkpoint of ``shape`` with random weights, in float16 like the published ones.

    Codec and text encoder have tiny's architecture, untrained; the codec has the shape's number of codes.
    """
    with quiet_imports():
        from audiocraft.models.builders import get_lm_model

        from mech_music.tiny import codec, language_model, text_encoder
        from mech_music.tiny.config import CodecConfig, LanguageModelConfig, TinyConfig
    lm = LanguageModelConfig(
        width=shape.width, layers=shape.layers, heads=shape.heads,
        text_width=shape.text_width, text_layers=shape.text_layers,
    )  # fmt: skip
    config = TinyConfig(codec=CodecConfig(codebook_size=shape.codes), language_model=lm)
    text_encoder.save(lm, folder / "t5")
    register_t5(folder / "t5")
    written = language_model.lm_config(config)
    written["conditioners"]["description"]["t5"]["finetune"] = False  # as published: T5 is not in the checkpoint
    with torch.random.fork_rng(), quiet_imports():
        torch.manual_seed(0)
        _save(folder / "state_dict.bin", get_lm_model(OmegaConf.create(written)), written)
        _save(folder / "compression_state_dict.bin", codec.build(config.codec), codec.codec_config(config.codec))
    return Subject(f"random {shape.layers} × {shape.width}", folder, shape.layers)


def _save(path: Path, model: nn.Module, config: dict[str, Any]) -> None:
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    torch.save({"best_state": state, "xp.cfg": OmegaConf.to_yaml(OmegaConf.create(config), resolve=False)}, path)


def duration(frames: int) -> float:
    """Seconds that every rounding takes for ``frames`` frames."""
    return (frames + 0.5) / FRAME_RATE


def threads(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'s' if count > 1 else ''}"
