"""Generation without edits: plain audiocraft, transformers' MusicGen, and ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, alternate
from mech_music.benchmarks.models import duration, threads
from mech_music.benchmarks.others import Transformers, load_plain, plain_name, plain_tokens
from mech_music.benchmarks.ours import load_bfloat16, load_ours
from mech_music.benchmarks.table import Line, compare

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

    from mech_music.models.musicgen.model import HookedMusicGen


def run(bench: Bench) -> Iterator[Line]:
    """Every number of prompts; float32, and 16 bits at the largest number of the random model's."""
    sizes = bench.config.decode
    yield from _tiny(bench, sizes.tiny_rows, sizes.tiny_frames)
    yield from _random(bench, sizes.random_rows, bench.frames(sizes.random_frames))
    yield from _sixteen_bits(bench, max(sizes.random_rows), bench.frames(sizes.random_frames))


def _tiny(bench: Bench, sizes: list[int], frames: int) -> Iterator[Line]:
    plain, ours = load_plain(bench.tiny, bench.device), load_ours(bench.tiny, bench.device)
    for n in sizes:
        sides = [_plain(bench, plain, n, frames), _ours(ours.name, ours.model, n, frames, ours.threads)]
        timing, own = alternate(sides, bench.config.rounds)
        yield compare("decode", f"tiny, {n} prompts, {frames} frames", timing, own)


def _random(bench: Bench, sizes: list[int], frames: int) -> Iterator[Line]:
    plain, ours = load_plain(bench.random, bench.device), load_ours(bench.random, bench.device)
    other = Transformers(bench.config.shape, bench.device)
    for n in sizes:
        sides = [
            _plain(bench, plain, n, frames),
            _transformers(bench, other, ours.model, n, frames),
            _ours(ours.name, ours.model, n, frames, ours.threads),
        ]
        *others, own = alternate(sides, bench.config.rounds)
        for timing in others:
            yield compare("decode", f"{bench.random.name}, {n} prompts, {frames} frames", timing, own)


def _sixteen_bits(bench: Bench, n: int, frames: int) -> Iterator[Line]:
    """Ours in bfloat16 against float32; on a GPU also against float16, which audiocraft takes there by itself."""
    ours, half = load_ours(bench.random, bench.device), load_bfloat16(bench.random, bench.device)
    on_gpu = bench.device.type == "cuda"
    plain = load_plain(bench.random, bench.device, half=on_gpu)
    other = Transformers(bench.config.shape, bench.device, torch.bfloat16)
    name = "float16, its own choice on a GPU" if on_gpu else "float32"
    sides = [
        _plain(bench, plain, n, frames, f", {name}"),
        _transformers(bench, other, ours.model, n, frames, ", bfloat16"),
        _ours(f"{ours.name}, float32", ours.model, n, frames, ours.threads),
        _ours(f"{ours.name}, bfloat16", half, n, frames, ours.threads),
    ]
    *others, own = alternate(sides, bench.config.rounds)
    for timing in others:
        yield compare("decode", f"{bench.random.name}, {n} prompts, {frames} frames", timing, own)


def _plain(bench: Bench, musicgen: MusicGen, n: int, frames: int, dtype: str = "") -> Side:
    count = bench.plain_threads
    return Side(plain_name(count) + dtype, lambda _: plain_tokens(musicgen, made.prompts(n), frames), n, count)


def _transformers(
    bench: Bench, other: Transformers, reader: HookedMusicGen, n: int, frames: int, dtype: str = ""
) -> Side:
    """``reader`` tells how many tokens the prompts have."""
    count, text = bench.plain_threads, max(map(reader.prompt_length, made.prompts(n)))
    name = f"transformers (given the encoded text), {threads(count)}{dtype}"
    return Side(name, lambda _: other.tokens(n, text, frames), n, count)


def _ours(name: str, model: HookedMusicGen, n: int, frames: int, count: int) -> Side:
    return Side(name, lambda seed: model.generate(made.prompts(n), seed, duration=duration(frames)), n, count)
