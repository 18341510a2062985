"""What the study's whole grid would take on this device: clips made, rendered and heard, at musicgen-small's shape.

Codec and classifier have the published networks' shapes (EnCodec of 32 kHz, PaSST) and random weights. The reference
method is that of the benchmark ``reference``, in the number format that audiocraft itself takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from mech_music.base.quiet import quiet_imports
from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, Timing, alternate, paired_ratio
from mech_music.benchmarks.models import duration
from mech_music.benchmarks.others import load_plain, plain_name
from mech_music.benchmarks.ours import edited_tokens, static_tokens
from mech_music.benchmarks.reference import Script
from mech_music.benchmarks.table import Line
from mech_music.edits.row import Row
from mech_music.engine.capacity import clips_at_once
from mech_music.listeners.passt import PUBLISHED, PaSST
from mech_music.models.musicgen.footprint import CODEC_SHAPE
from mech_music.models.musicgen.loading import load_model

ROWS = 1_790_000
"""Clips of the grid of one model size, musicgen-small's 24 layers, controls included."""
_RATE, _FRAME_RATE, _CODEBOOKS = 32_000, 50, 4  # of the published codec


def run(bench: Bench) -> Iterator[Line]:
    """Hours for the grid: ours by both ways of decoding and the reference method, hearing included; hearing alone."""
    sizes = bench.config.grid
    timings = alternate(_sides(bench, sizes.rows, bench.frames(sizes.frames)), bench.config.rounds)
    reference, traced, static, heard = timings
    what = f"{ROWS:,} clips of {bench.frames(sizes.frames)} frames, {sizes.rows} rows in a pass"
    for first in (reference, traced):
        yield _line(f"{what}: generated and heard", first, static, heard)
    hours = _hours(heard), _hours(static)
    yield Line("grid", f"{what}: parts", heard.name, static.name, "hours", paired_ratio(*hours), hours)


def _sides(bench: Bench, n: int, frames: int) -> list[Side]:
    on_gpu, subject = bench.device.type == "cuda", bench.shaped(bench.config.shapes[0])
    dtype = "bfloat16" if on_gpu else "float32"
    model = load_model(str(subject.folder), None, str(bench.device), dtype)
    steps = model.n_steps(duration(frames))
    mean = made.random_means(steps, model.d_model)
    script = Script(load_plain(subject, bench.device, half=on_gpu), None, mean, frames)
    prompts = made.prompts(1)

    def rows(seed: int) -> list[Row]:
        """As the engine packs them: versions of as many clips as make a pass."""
        found: list[Row] = []
        while len(found) < n:
            found += made.versions(prompts[0], seed + 1000 * len(found), model.n_layers, min(made.VERSIONS, n))
        return found[:n]

    hear, each = _hearing(bench, frames), min(made.VERSIONS, n)
    return [
        Side(
            f"{plain_name(bench.plain_threads)}, raw hooks",
            lambda seed: script.tokens(made.versions(prompts[0], seed, model.n_layers, each)), each,
            bench.plain_threads,
        ),
        Side(f"ours, traced, {dtype}", lambda seed: edited_tokens(model, rows(seed), mean, frames), n),
        Side(f"ours, static, {dtype}", lambda seed: static_tokens(model, rows(seed), mean, frames), n),
        Side("codec and classifier", lambda _: hear(n), n),
    ]  # fmt: skip


def _hearing(bench: Bench, frames: int) -> Callable[[int], Tensor]:
    """Random tokens to logits, as many clips at once as the engine takes."""
    with quiet_imports():
        from transformers import EncodecConfig, EncodecModel
    device = bench.device
    codec: Any = EncodecModel(EncodecConfig(**CODEC_SHAPE)).eval()
    codec, classifier = codec.to(device), PaSST(PUBLISHED).to(device)
    at_once = clips_at_once(frames * _RATE // _FRAME_RATE, device)

    @torch.no_grad()
    def hear(n: int) -> Tensor:
        tokens = torch.randint(2048, (1, n, _CODEBOOKS, frames), device=device)
        heard = []
        for start in range(0, n, at_once):
            audio = codec.decode(tokens[:, start : start + at_once], [None])[0]
            heard.append(classifier.logits(audio[:, 0], _RATE))
        return torch.cat(heard)

    return hear


def _hours(timing: Timing, beside: Timing | None = None) -> tuple[float, ...]:
    """Of the grid, round by round."""
    each = timing.each if beside is None else [a + b for a, b in zip(timing.each, beside.each, strict=True)]
    return tuple(ROWS * seconds / 3600 for seconds in each)


def _line(what: str, first: Timing, second: Timing, heard: Timing) -> Line:
    values = _hours(first, heard), _hours(second, heard)
    return Line("grid", what, first.name, second.name, "hours", paired_ratio(*values), values)
