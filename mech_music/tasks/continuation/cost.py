"""What a model costs: its parameters, and how long a note takes on this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mech_music.tasks.continuation.settings import ContinuationSettings

_TIMES, _FRAMES = 5, 40


def cost_of(run: ContinuationSettings) -> dict[str, Any]:
    """``ms_a_note``: the median of five clips of forty notes (of event tokens: three events each), one at a time, on
    the CPU; whatever else the machine does is in it."""
    from mech_music.models.symbolic.files import load_decoder, read_card
    from mech_music.models.symbolic.handle import folder_of
    from mech_music.models.symbolic.model import SymbolicGenerator

    folder = folder_of(run.model)
    decoder = load_decoder(folder)
    model, frames = SymbolicGenerator(decoder), min(_FRAMES, decoder.shape.context)
    seconds = []
    for seed in range(_TIMES):
        began = time.perf_counter()
        model.visit("A piece.", (), lambda *_: None, seeds=seed, duration=frames / model.frame_rate)
        seconds.append(time.perf_counter() - began)
    a_note = 3 if decoder.tokens.name == "event" else 1
    return {
        "parameters": sum(weight.numel() for weight in decoder.parameters()),
        "ms_a_note": round(1000 * float(np.median(seconds)) * a_note / frames, 3),
        "corpus": read_card(folder).get("corpus", {"name": "planted"}),
    }
