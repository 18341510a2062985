"""A file of a published checkpoint: read without its tensors, then one tensor at a time.

The format is that of audiocraft's exports: a dictionary with ``best_state`` (name to tensor), ``xp.cfg`` (the
training's config as YAML), ``version`` and ``exported``; the codec's file may instead name a ``pretrained`` one.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from mech_music.base.errors import UserError, first_line
from mech_music.models.musicgen.hub import FILES

_LM, _CODEC = FILES
_NEEDED = (
    "transformer_lm.num_layers", "transformer_lm.dim", "transformer_lm.n_q", "transformer_lm.card",
    "transformer_lm.hidden_scale", "codebooks_pattern.delay.delays", "conditioners.description.t5", "fuser.cross",
    "fuser.prepend",
)  # fmt: skip
_SERVED = "served are small, medium, large, melody, melody-large and stereo-… of each"
_FUSING = ("sum", "prepend", "cross", "input_interpolate")
_TEXT = {"description": "t5"}, {"cross": ["description"]}
_MELODY = {"self_wav": "chroma_stem", "description": "t5"}, {"prepend": ["description", "self_wav"]}


@dataclass(frozen=True)
class Published:
    """One file; in ``content`` its tensors have shapes only (they are on torch's meta device)."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Published:
        """UserError, one line, for a file that is cut short, no checkpoint, or another model's."""
        if not zipfile.is_zipfile(path):
            raise UserError(f"'{path}' is cut short or no PyTorch checkpoint: fetch it again")
        try:
            content = torch.load(path, map_location="meta", weights_only=True)
        except Exception as error:  # torch raises many kinds for what it cannot read
            raise UserError(f"'{path}' cannot be read ({first_line(error)}): fetch it again") from error
        file = cls(path, content if isinstance(content, dict) else {})
        file._check_kind()
        return file

    def _check_kind(self) -> None:
        wanted = self.path.name
        kind = _CODEC if "pretrained" in self.content else self._kind_by_config()
        if kind is None:
            raise UserError(
                f"'{self.path}' is not a file of audiocraft's (no best_state and xp.cfg in it): "
                f"fetch {wanted} of a MusicGen, not the weights of another library"
            )
        if wanted in FILES and kind != wanted:
            what = {_LM: "a language model, which is called", _CODEC: "a codec, which is called"}[kind]
            raise UserError(f"'{self.path}' holds {what} {kind}: put each file under its own name, or fetch it again")

        if kind == _LM:
            self._check_served()

    def _check_served(self) -> None:
        """UserError for what audiocraft publishes beside MusicGen by text and melody: style, MAGNeT."""
        if lacking := [key for key in _NEEDED if OmegaConf.select(self.config, key) is None]:
            raise UserError(
                f"'{self.path}': its config has no {lacking[0]}, so it is no MusicGen that is served; {_SERVED}"
            )
        conditions = {name: of.model for name, of in self.config.conditioners.items() if name != "args"}
        fuser = {how: sorted(names) for how, names in self.config.fuser.items() if how in _FUSING and names}
        if (conditions, fuser) not in (_TEXT, _MELODY):
            given = ", ".join(f"{name} ({kind})" for name, kind in conditions.items())
            how = ", ".join(f"{how} {' and '.join(names)}" for how, names in fuser.items())
            raise UserError(
                f"'{self.path}' is conditioned on {given}, fused as {how}: neither on text by cross-attention nor on "
                f"melody and text before the music; {_SERVED}"
            )

    def _kind_by_config(self) -> str | None:
        if not {"best_state", "xp.cfg"} <= self.content.keys():
            return None
        return _LM if "transformer_lm" in self.config else _CODEC if "compression_model" in self.config else None

    @cached_property
    def config(self) -> DictConfig:
        """The training's config. UserError if it cannot be read."""
        try:
            config = OmegaConf.create(self.content["xp.cfg"])
        except Exception as error:
            raise UserError(f"'{self.path}': its xp.cfg cannot be read ({first_line(error)}): fetch it again") from None
        assert isinstance(config, DictConfig)
        return config

    @property
    def cross_attention(self) -> bool:
        """Whether the text is attended to; in melody it stands before the music instead."""
        return bool(self.config.fuser.cross)

    @property
    def shapes(self) -> Mapping[str, Tensor]:
        """Every tensor's name; the tensors themselves hold no data."""
        return self.content["best_state"]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor with its data, read one at a time straight from the file: no second copy of the weights."""
        with self.path.open("rb") as file:
            for name, shape in self.shapes.items():
                yield name, _read(file, shape)


def _read(file: Any, shape: Tensor) -> Tensor:
    """The tensor that ``shape`` is the outline of: torch notes where each storage begins in the file."""
    storage = shape.untyped_storage()
    span = 1 + sum((size - 1) * stride for size, stride in zip(shape.shape, shape.stride(), strict=True))
    if not shape.numel():
        return torch.empty(shape.shape, dtype=shape.dtype)
    buffer = bytearray(span * shape.element_size())
    file.seek(storage._checkpoint_offset + shape.storage_offset() * shape.element_size())  # type: ignore[attr-defined]
    if file.readinto(buffer) != len(buffer):
        raise UserError(f"'{file.name}' is cut short: fetch it again")
    return torch.frombuffer(buffer, dtype=shape.dtype).as_strided(shape.shape, shape.stride())
