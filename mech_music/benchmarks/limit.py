"""How near decoding comes to what this machine can do: its matrix products, and the memory it has to read.

Operations of one clip, from the shapes (2 for each multiply-add; width d, n layers, q codebooks of c codes, L text
tokens, T = frames + q − 1 steps), for each of the two halves of guidance::

    Σ_{t=1..T} [ n · (28 d² + 4 d t + 4 d L) + 2 q c d ]  +  n · 4 d² L

28 d² = 2 · (4 d² self-attention + 2 d² cross-attention's query and output + 8 d² MLP); 4 d t and 4 d L = scores and
weighted sum over t earlier steps and L text tokens; the last term: cross-attention's keys and values, projected once.

Bytes of a pass of R clips, with b bytes a number: all weights once a step, and every row's caches::

    b · Σ_{t=1..T} [ n · 14 d² + q c d  +  2 R · n · (2 d t + 2 d L) ]

Activations are not counted (they stay in the processor's caches), nor is the text encoder, whose time is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import torch

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, alternate, paired_ratio
from mech_music.benchmarks.models import Subject, duration, load_bfloat16, load_ours
from mech_music.benchmarks.table import Line
from mech_music.model import HookedMusicGen


@dataclass(frozen=True)
class Work:
    """The shapes that decide how much there is to do; the formulas are in the module's docstring."""

    layers: int
    width: int
    codebooks: int
    codes: int
    text: int
    steps: int

    @classmethod
    def of(cls, model: HookedMusicGen, prompt: str, frames: int) -> Work:
        lm = model.musicgen.lm
        text, steps = model.prompt_length(prompt), model.n_steps(duration(frames))
        return cls(model.n_layers, model.d_model, lm.n_q, lm.card, text, steps)

    @property
    def flops(self) -> int:
        """Floating-point operations of one clip, both halves."""
        n, d, length, steps = self.layers, self.width, self.text, self.steps
        each = n * (28 * d * d + 4 * d * length) + 2 * self.codebooks * self.codes * d
        return 2 * (steps * each + n * 4 * d * self._earlier + n * 4 * d * d * length)

    def bytes(self, rows: int, itemsize: int) -> int:
        """Bytes read while a pass of ``rows`` clips is decoded."""
        n, d = self.layers, self.width
        weights = self.steps * (n * 14 * d * d + self.codebooks * self.codes * d)
        caches = 2 * rows * n * 2 * d * (self._earlier + self.steps * self.text)
        return itemsize * (weights + caches)

    @property
    def _earlier(self) -> int:
        """The sum of t over the steps."""
        return self.steps * (self.steps + 1) // 2


def run(bench: Bench) -> Iterator[Line]:
    """tiny and the random model in float32, and the random model in bfloat16."""
    sizes = bench.config.limit
    frames = bench.frames(sizes.random_frames)
    tiny = load_ours(bench.tiny, bench.device)
    yield from _lines(bench, bench.tiny, tiny.model, tiny.threads, sizes.tiny_rows, sizes.tiny_frames)
    random = load_ours(bench.random, bench.device)
    yield from _lines(bench, bench.random, random.model, random.threads, sizes.random_rows, frames)
    half = load_bfloat16(bench.random, bench.device)
    yield from _lines(bench, bench.random, half, random.threads, sizes.random_rows, frames)


def _lines(
    bench: Bench, subject: Subject, model: HookedMusicGen, threads: int, sizes: list[int], frames: int
) -> Iterator[Line]:
    prompt, limits = made.prompts(1)[0], bench.config.limit
    sides = [
        Side("ours", lambda _, n=n: model.generate([prompt] * n, list(range(n)), duration=duration(frames)), n, threads)
        for n in sizes
    ]
    sides += [_product(edge, model, threads) for edge in limits.matrices]
    sides += [_copy(limits.copied_mb, model.device, threads)]
    *timings, copied = alternate(sides, bench.config.rounds)
    passes, products = timings[: len(sizes)], timings[len(sizes) :]
    peak = [max(rates) for rates in zip(*(timing.rates(timing.amount) for timing in products), strict=True)]
    bandwidth = copied.rates(copied.amount)
    best = min(passes, key=lambda timing: median(timing.each))
    work, dtype = Work.of(model, prompt, frames), str(model.dtype).removeprefix("torch.")
    for n, timing in zip(sizes, passes, strict=True):
        what = f"{subject.name}, {n} rows, {frames} frames, {dtype}"
        note = f"{1 / median(timing.each):.3g} clips/s" + (", the best pass size" if timing is best else "")
        rates = timing.rates(n * work.flops)
        yield _share(what, f"ours, threads {threads}", "torch.matmul", "GFLOP/s", rates, peak, note)
        read = timing.rates(work.bytes(n, model.dtype.itemsize))
        yield _share(what, f"ours, threads {threads}", "copying memory", "GB/s", read, bandwidth, note)


def _share(
    what: str, first: str, second: str, unit: str, achieved: tuple[float, ...], peak: tuple[float, ...] | list[float],
    note: str,
) -> Line:  # fmt: skip
    values = tuple(rate / 1e9 for rate in achieved), tuple(rate / 1e9 for rate in peak)
    return Line("limit", what, first, second, unit, paired_ratio(*values), values, note)


def _product(edge: int, model: HookedMusicGen, threads: int) -> Side:
    """A square matrix product in the model's number format; its amount: floating-point operations."""
    a, b = (torch.randn(edge, edge, device=model.device, dtype=model.dtype) for _ in range(2))
    return Side("torch.matmul", lambda _: torch.matmul(a, b), 2 * edge**3, threads)


def _copy(megabytes: int, device: torch.device, threads: int) -> Side:
    """A copy too large for any cache; its amount: bytes read and written."""
    source = torch.zeros(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    return Side("copy", lambda _: target.copy_(source), 2 * source.nbytes, threads)


