"""audiocraft imported without what it imports for its training, its datasets and its other models.

Its ``__init__`` files import everything: solvers, metrics, datasets, and with them spaCy, Demucs' and xformers'
prerequisites, W&B, torchmetrics, matplotlib, librosa. A MusicGen that generates from text uses none of that. Here its
packages' own code waits until somebody asks for what it defines, and those libraries until they are first used
(see `mech_music.base.stand_ins`). Nothing of audiocraft's is changed but what `_without_xformers` says.

This is for the release that it was written for; another, or an audiocraft that is loaded already, is imported as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from mech_music.base.quiet import quiet_imports
from mech_music.base.stand_ins import StandIn, defer, stand_ins
from mech_music.models.transformers_imports import import_models

_RELEASE = "1.3.0"
_DEFERRED = ("audiocraft", "audiocraft.data", "audiocraft.models")
_WAITING = ("av", "dora", "flashy", "flashy.distrib", "librosa", "num2words", "spacy", "xformers")
_NEEDED = ("audiocraft.models.musicgen", "audiocraft.models.builders")


@contextmanager
def audiocraft_imports() -> Iterator[None]:
    """Import audiocraft's modules in here, as one would anywhere: it takes a fraction of the time."""
    with quiet_imports():
        _prepare()
        yield


@cache
def _prepare() -> None:
    if "audiocraft" in sys.modules or version("audiocraft") != _RELEASE:
        return
    import_models()
    # What is imported before the stand-ins are there is imported in the ordinary way.
    import torchaudio  # noqa: F401
    from transformers import EncodecModel, RobertaTokenizer, T5EncoderModel, T5Tokenizer  # noqa: F401

    for package in _DEFERRED:
        defer(package)
    with stand_ins(_WAITING):
        for module in _NEEDED:
            import_module(module)
    _without_xformers(import_module("audiocraft.modules.transformer"))


def _without_xformers(transformer: Any) -> None:
    """Of xformers audiocraft takes one function (torch's own, but for its gradient); it asks whether it is installed,
    and whether its profiler is at work. The answers are the same, and loading it for them takes seconds.
    """
    is_profiled = transformer._is_profiled

    def unbind(x: Tensor, dim: int) -> tuple[Tensor, ...]:
        if not x.requires_grad:
            return x.unbind(dim)
        from xformers.ops import unbind

        return unbind(x, dim)

    if isinstance(transformer.ops, StandIn):  # a program that uses xformers itself keeps it as it is
        setattr(transformer.ops, "unbind", unbind)  # noqa: B010
    transformer._is_profiled = lambda: "xformers.profiler" in sys.modules and is_profiled()
    if find_spec("xformers"):
        transformer._verify_xformers_memory_efficient_compat = lambda: None
