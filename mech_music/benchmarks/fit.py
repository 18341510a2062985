"""Memory that shapes say (`mech_music.models.musicgen.footprint`) against memory that is taken."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import paired_ratio
from mech_music.benchmarks.models import duration
from mech_music.benchmarks.table import Line
from mech_music.engine.capacity import Capacity, probed_row_bytes
from mech_music.models.musicgen.footprint import Footprint
from mech_music.models.musicgen.loading import load_model
from mech_music.models.musicgen.model import HookedMusicGen


def run(bench: Bench) -> Iterator[Line]:
    """Every shape in every number format; rows of a pass on a GPU alone, which can say what it has given out."""
    frames = bench.config.fit.frames
    for shape in bench.config.shapes:
        for dtype in bench.dtypes:
            model = load_model(str(bench.shaped(shape).folder), None, str(bench.device), dtype)
            footprint = Footprint(shape.layers, shape.width, card=shape.codes, text_width=shape.text_width)
            yield from _lines(f"{shape.name}, {dtype}", model, footprint.weight_bytes(dtype), frames)


def _lines(what: str, model: HookedMusicGen, weights: int, frames: int) -> Iterator[Line]:
    taken = sum(value.numel() * value.element_size() for value in model.musicgen.lm.state_dict().values())
    yield _line(f"{what}: weights", taken, weights, 1e9, "GB")
    if model.device.type != "cuda":
        return
    seconds = duration(frames)
    yield _line(
        f"{what}: a row of a pass, {frames} frames",
        probed_row_bytes(model, seconds), model.row_bytes(seconds), 1e6, "MB",
        f"the engine makes passes of {Capacity(model, seconds, 0, 1).rows} rows",
    )  # fmt: skip
    torch.cuda.empty_cache()


def _line(what: str, taken: float, computed: float, per: float, unit: str, note: str = "") -> Line:
    values = (taken / per,), (computed / per,)
    return Line("fit", what, "measured", "computed from the shape", unit, paired_ratio(*values), values, note)
