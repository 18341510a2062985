"""Untrained symbolic models, small and with loud heads, so that edits change tokens."""

from __future__ import annotations

import torch

from mech_music.models.symbolic.decoder import Decoder, Shape
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.models.symbolic.pieces import GRID


def made_decoder(
    tokens: str = "note", attention: str = "circular-hadamard", layers: int = 3, context: int = 40
) -> Decoder:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        shape = Shape(tokens, attention, width=24, layers=layers, heads=3, context=context)
        decoder = Decoder(shape, GRID).eval().requires_grad_(False)
        for name, weight in decoder.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                weight.mul_(20)
            elif name.startswith("heads") or "relations" in name or "qkv.weight" in name:
                weight.mul_(4)
        decoder.forbid()
        return decoder


def made_symbolic(tokens: str = "note", attention: str = "circular-hadamard", layers: int = 3) -> SymbolicGenerator:
    """Twenty frames a second."""
    decoder = made_decoder(tokens, attention, layers)
    return SymbolicGenerator(decoder, f"made {tokens} {attention} {layers}", frame_rate=20.0)
