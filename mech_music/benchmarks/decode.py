"""Generation without edits: plain audiocraft, transformers' MusicGen, and ours."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, Timing, alternate
from mech_music.benchmarks.models import (
    Subject,
    Transformers,
    duration,
    load_bfloat16,
    load_ours,
    load_plain,
    plain_name,
    plain_tokens,
)
from mech_music.benchmarks.table import Line, compare

_HALF = "plain audiocraft, float16 (its own choice on a GPU)"


def run(bench: Bench) -> Iterator[Line]:
    """Every number of prompts of both models; float32, and 16 bits at the largest of the random model's."""
    sizes = bench.config.decode
    yield from _tiny(bench, sizes.tiny_rows, sizes.tiny_frames)
    yield from _random(bench, sizes.random_rows, bench.frames(sizes.random_frames))


def _tiny(bench: Bench, sizes: list[int], frames: int) -> Iterator[Line]:
    for rows in sizes:
        plain, ours = alternate(_common(bench, bench.tiny, rows, frames), bench.config.rounds)
        yield compare("decode", _what(bench.tiny, rows, frames), plain, ours)


def _random(bench: Bench, sizes: list[int], frames: int) -> Iterator[Line]:
    for rows in sizes:
        sides = [*_common(bench, bench.random, rows, frames), _transformers(bench, rows, frames)]
        if rows == max(sizes):
            sides += _sixteen_bits(bench, rows, frames)
        plain, ours, other, *halves = alternate(sides, bench.config.rounds)
        what = _what(bench.random, rows, frames)
        yield compare("decode", what, plain, ours)
        yield compare("decode", what, other, ours, note="transformers is given the encoded text")
        yield from _halves(what, plain, ours, halves)


def _halves(what: str, plain: Timing, ours: Timing, halves: list[Timing]) -> Iterator[Line]:
    for half in halves:
        if half.name == _HALF:
            yield compare("decode", what, half, halves[0])
        else:
            yield compare("decode", what, ours, half)
            yield compare("decode", what, plain, half)


def _common(bench: Bench, subject: Subject, rows: int, frames: int) -> list[Side]:
    """Plain audiocraft and ours on the same prompts."""
    texts, plain, ours = made.prompts(rows), load_plain(subject, bench.device), load_ours(subject, bench.device)
    return [
        Side(
            plain_name(bench.plain_threads), lambda _: plain_tokens(plain, texts, frames), rows, bench.plain_threads
        ),
        Side(
            ours.name, lambda seed: ours.model.generate(texts, seed, duration=duration(frames)), rows, ours.threads
        ),
    ]  # fmt: skip


def _transformers(bench: Bench, rows: int, frames: int) -> Side:
    text = max(load_ours(bench.random, bench.device).model.prompt_length(prompt) for prompt in made.prompts(rows))
    model = Transformers(bench.config.shape, bench.device)
    name = f"transformers, {bench.plain_threads} threads"
    return Side(name, lambda _: model.tokens(rows, text, frames), rows, bench.plain_threads)


def _sixteen_bits(bench: Bench, rows: int, frames: int) -> list[Side]:
    """Ours in bfloat16; on a GPU, what audiocraft does there by itself too."""
    texts, model = made.prompts(rows), load_bfloat16(bench.random, bench.device)
    threads = load_ours(bench.random, bench.device).threads
    sides = [
        Side(
            f"ours in bfloat16, {threads} threads",
            lambda seed: model.generate(texts, seed, duration=duration(frames)), rows, threads,
        )
    ]  # fmt: skip
    if bench.device.type == "cuda":
        plain = load_plain(bench.random, torch.device("cuda"), half=True)
        sides.append(Side(_HALF, lambda _: plain_tokens(plain, texts, frames), rows, bench.plain_threads))
    return sides


def _what(subject: Subject, rows: int, frames: int) -> str:
    return f"{subject.name}, {rows} prompts, {frames} frames"
