"""The stages that make what is trained on: some pieces as sound, many as tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.lib.format import open_memmap
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.tiny import codec, loop, text_encoder
from mech_music.tiny.long.composition import BEAT_FRAMES, HELD_OUT, INSTRUMENTS, compose
from mech_music.tiny.long.config import LongConfig
from mech_music.tiny.long.forms import CUED, FREE, MOST, TOLD_FORMS
from mech_music.tiny.long.sound import SAMPLES, render
from mech_music.tiny.workspace import StageFolder

_LEARNING = ("pieces", "codec", "language_model", "loops", "rearranged")
_FORMS = (*_LEARNING, "refined", "more_returns", "told", "told_exactly", "forms")
_SECTIONS = {
    "corpus": ("pieces",),
    "codec": ("pieces", "codec"),
    "codes": ("pieces", "codec"),
    "loops": ("pieces", "codec", "shape", "loops"),
    "language_model": _LEARNING,
    "refined": (*_LEARNING, "refined", "more_returns"),
    "told": (*_LEARNING, "refined", "more_returns", "told", "told_exactly"),
    "forms": _FORMS,
    "corrected": (*_FORMS, "corrected"),
    "short": ("pieces", "codec", "shape", "short"),
}
_VOCABULARY = 48


class Workspace(StageFolder):
    """The folder of a training of musicgen-tiny-long."""

    def __init__(self, config: LongConfig) -> None:
        super().__init__(config.folder, config.seed)
        self.config = config

    def recipe(self, stage: str) -> dict[str, Any]:
        """The part of the config that decides this stage's result (how often to save does not)."""
        config = asdict(self.config)
        for section in ("codec", "language_model", "forms", "corrected"):
            del config[section]["loop"]["save_every"]
        for section in ("loops", "refined", "told", "short"):
            del config[section]["save_every"]
        config["shape"] = {key: value for key, value in config["language_model"].items() if key != "loop"}
        return {key: config[key] for key in ("seed", "threads", *_SECTIONS[stage])}

    def result_path(self, stage: str) -> Path:
        """Where a stage's result lies: the sound of pieces as an array on disk, else tensors."""
        return self.folder / "corpus.npy" if stage == "corpus" else super().result_path(stage)


def vocabulary() -> tuple[str, ...]:
    """A token for every word that a prompt can have."""
    told = [f"{place}={source}" for place in range(1, MOST + 1) for source in range(1, place + 1)]
    return text_encoder.vocabulary_of(("A", *BEAT_FRAMES, *INSTRUMENTS, "piece:", FREE, CUED, *told), _VOCABULARY)


def first_vocabulary() -> tuple[str, ...]:
    """The same of training's first stages (`Piece.first_prompt`)."""
    words = ["A", *BEAT_FRAMES, *INSTRUMENTS, "piece", "in", FREE, CUED]
    return text_encoder.vocabulary_of((*words, *TOLD_FORMS, "form."), _VOCABULARY)


def run_corpus(workspace: Workspace) -> None:
    """The corpus stage: the sound of the pieces that the codec learns from, int16 [piece, sample]."""
    numbers = range(workspace.config.pieces.audio)
    with replacing(workspace.result_path("corpus")) as path:
        audio = open_memmap(path, mode="w+", dtype=np.int16, shape=(len(numbers), SAMPLES))
        for row in loop.tracked(numbers, "corpus"):
            audio[row] = np.round(render(compose(row)) * 32767.0).astype(np.int16)
        audio.flush()
    workspace.seal("corpus")


def run_codec(workspace: Workspace) -> None:
    """The codec stage."""
    if not workspace.is_done("corpus"):
        raise UserError(f"stage corpus is not done in {workspace.folder}: add it to stages=[…]")
    codec.fit(workspace, workspace.config.codec, np.load(workspace.result_path("corpus"), mmap_mode="r"))


def run_codes(workspace: Workspace) -> None:
    """The codes stage: every piece as tokens (int16), train and watched ones."""
    model, pieces = codec.load(workspace, workspace.config.codec), workspace.config.pieces

    def encoded(numbers: Iterable[int], name: str) -> Int[Tensor, "piece codebook frame"]:
        return torch.cat([codec.encode(model, render(compose(n))[None]) for n in loop.tracked(list(numbers), name)])

    watched = encoded(range(HELD_OUT, HELD_OUT + pieces.watched), "watched")
    workspace.save_tensors(
        "codes", {"train": encoded(range(pieces.train), "codes").to(torch.int16), "watched": watched.to(torch.int16)}
    )
