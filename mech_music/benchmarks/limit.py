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
from mech_music.benchmarks.measure import Side, Timing, alternate, paired_ratio
from mech_music.benchmarks.models import duration
from mech_music.benchmarks.ours import Ours, load_bfloat16, load_ours
from mech_music.benchmarks.table import Line
from mech_music.models.musicgen.model import HookedMusicGen


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
    tiny = load_ours(bench.tiny, bench.device)
    yield from _lines(bench, "tiny", tiny, tiny.model, sizes.tiny_rows, sizes.tiny_frames)
    random, frames = load_ours(bench.random, bench.device), bench.frames(sizes.random_frames)
    for model in (random.model, load_bfloat16(bench.random, bench.device)):
        yield from _lines(bench, bench.random.name, random, model, sizes.random_rows, frames)


def _lines(bench: Bench, name: str, ours: Ours, model: HookedMusicGen, sizes: list[int], frames: int) -> Iterator[Line]:
    passes, products, copied = _timings(bench, ours, model, sizes, frames)
    peak = [max(rates) for rates in zip(*(timing.rates(timing.amount) for timing in products), strict=True)]
    bandwidth = copied.rates(copied.amount)
    best = min(passes, key=lambda timing: median(timing.each))
    work = Work.of(model, made.prompts(1)[0], frames)
    for n, timing in zip(sizes, passes, strict=True):
        what = f"{name}, {n} rows, {frames} frames, {str(model.dtype).removeprefix('torch.')}"
        note = f"{1 / median(timing.each):.3g} clips/s" + (", the best pass size" if timing is best else "")
        computed = timing.rates(n * work.flops), peak
        read = timing.rates(work.bytes(n, model.dtype.itemsize)), bandwidth
        for unit, limit, rates in (("GFLOP/s", "torch.matmul", computed), ("GB/s", "copying memory", read)):
            values = tuple(rate / 1e9 for rate in rates[0]), tuple(rate / 1e9 for rate in rates[1])
            yield Line("limit", what, ours.name, limit, unit, paired_ratio(*values), values, note)


def _timings(
    bench: Bench, ours: Ours, model: HookedMusicGen, sizes: list[int], frames: int
) -> tuple[list[Timing], list[Timing], Timing]:
    """Passes of every size, matrix products and a copy, in turns."""
    prompt, limits = made.prompts(1)[0], bench.config.limit

    def decoding(n: int) -> Side:
        seeds = list(range(n))
        return Side("", lambda _: model.generate([prompt] * n, seeds, duration=duration(frames)), n, ours.threads)

    largest = max(limits.matrices)
    sides = [decoding(n) for n in sizes]
    sides += [_product(edge, (largest // edge) ** 3, model, ours.threads) for edge in limits.matrices]
    sides += [_copy(limits.copied_mb, model.device, ours.threads)]
    *timings, copied = alternate(sides, bench.config.rounds)
    return timings[: len(sizes)], timings[len(sizes) :], copied


def _product(edge: int, times: int, model: HookedMusicGen, count: int) -> Side:
    """Square matrix products in the model's number format; the amount: floating-point operations."""
    a, b, out = (torch.randn(edge, edge, device=model.device, dtype=model.dtype) for _ in range(3))
    return Side("", lambda _: [torch.matmul(a, b, out=out) for _ in range(times)], 2 * times * edge**3, count)


def _copy(megabytes: int, device: torch.device, count: int) -> Side:
    """A copy too large for any cache; the amount: bytes read and written."""
    source = torch.zeros(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    return Side("", lambda _: target.copy_(source), 2 * source.nbytes, count)
