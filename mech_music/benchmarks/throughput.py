"""Clips a second by rows of a pass, at the published models' shapes: ours static and traced, audiocraft, transformers.

On a GPU audiocraft takes float16 by itself, and the others are in bfloat16; on a CPU all are in float32. A number of
rows that does not fit in memory beside the four models is left out, with a line in the log.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from statistics import median

import torch

from mech_music.base.machine import is_out_of_memory
from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.config import NamedShape
from mech_music.benchmarks.measure import Side, Timing, alternate
from mech_music.benchmarks.models import duration, threads
from mech_music.benchmarks.others import Transformers, load_plain, plain_name, plain_tokens
from mech_music.benchmarks.table import Line, compare
from mech_music.models.musicgen.loading import load_model

log = logging.getLogger(__name__)
SidesOf = Callable[[int], list[Side]]


def run(bench: Bench) -> Iterator[Line]:
    """Every shape; of each, every number of rows."""
    frames = bench.frames(bench.config.throughput.frames)
    for shape in bench.config.shapes:
        name, sides_of = shape.name, _sides_of(bench, shape, frames)
        for n in bench.config.throughput.rows:
            timings = _timed(sides_of(n), f"{name}, {n} rows", bench.config.rounds)
            if len(timings) < 2:
                break  # more rows would not fit either
            *others, own = timings
            for other in others:
                rates = " and ".join(f"{1 / median(one.each):.3g}" for one in (other, own))
                yield compare("throughput", f"{name}, {n} rows, {frames} frames", other, own, note=f"{rates} clips/s")
        del sides_of
        gc.collect()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()


def _sides_of(bench: Bench, shape: NamedShape, frames: int) -> SidesOf:
    """Ours, static, is the last one."""
    on_gpu, subject, count = bench.device.type == "cuda", bench.shaped(shape), bench.plain_threads
    dtype = "bfloat16" if on_gpu else "float32"
    model = load_model(str(subject.folder), None, str(bench.device), dtype)
    plain = load_plain(subject, bench.device, half=on_gpu)
    other = Transformers(shape, bench.device, getattr(torch, dtype))
    text = max(map(model.prompt_length, made.prompts(max(bench.config.throughput.rows))))
    seconds = duration(frames)

    def sides(n: int) -> list[Side]:
        prompts = made.prompts(1) * n
        words = f", {dtype}"
        return [
            Side(
                plain_name(count) + (", float16" if on_gpu else words),
                lambda _: plain_tokens(plain, prompts, frames), n, count,
            ),
            Side(f"transformers, {threads(count)}{words}", lambda _: other.tokens(n, text, frames), n, count),
            Side(f"ours, traced{words}", lambda seed: model.generate(prompts, seed, duration=seconds), n, count),
            Side(
                f"ours, static{words}", lambda seed: model.generate_static(prompts, {}, seeds=seed, duration=seconds),
                n, count,
            ),
        ]  # fmt: skip

    return sides


def _timed(sides: list[Side], what: str, rounds: int) -> list[Timing]:
    """Of those that fit; none where ours does not."""
    fitting = [side for side in sides if _fits(side, what)]
    return alternate(fitting, rounds) if sides[-1] in fitting else []


def _fits(side: Side, what: str) -> bool:
    try:
        side.run(0)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.warning("%s: %s does not fit in memory and is left out", what, side.name)
        return False
    return True
