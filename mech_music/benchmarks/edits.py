"""What edits cost: one edited site, and every site of every layer, against none; fixed shapes against traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, alternate
from mech_music.benchmarks.models import Subject, duration
from mech_music.benchmarks.ours import edited_tokens, load_ours, static_tokens
from mech_music.benchmarks.table import Line, compare
from mech_music.edits.row import Row


def run(bench: Bench) -> Iterator[Line]:
    """On tiny and on the random model."""
    sizes = bench.config.edits
    yield from _lines(bench, bench.tiny, sizes.tiny_rows, sizes.tiny_frames)
    yield from _lines(bench, bench.random, sizes.random_rows, sizes.random_frames)


def _lines(bench: Bench, subject: Subject, n_rows: int, frames: int) -> Iterator[Line]:
    ours = load_ours(subject, bench.device)
    model = ours.model
    mean = made.random_means(model.n_steps(duration(frames)), model.d_model)
    none = [Row(made.prompts(1)[0], seed) for seed in range(n_rows)]
    one = [made.somewhere(row) for row in none]
    every = [made.everywhere(row, model.n_layers) for row in none]
    named = {"no edit": none, "one site": one, f"all {3 * model.n_layers} sites": every}

    def side(name: str, rows: list[Row], made_by: Callable[..., Tensor] = edited_tokens, how: str = "") -> Side:
        return Side(f"{name}, {ours.name}{how}", lambda _: made_by(model, rows, mean, frames), n_rows, ours.threads)

    what = f"{subject.name}, {n_rows} rows, {frames} frames"
    traced = [side(*item) for item in named.items()]
    static = [side(name, rows, static_tokens, ", static") for name, rows in named.items()]
    unedited, *others = alternate([*traced, *static], bench.config.rounds)
    edited, static_timings = others[: len(traced) - 1], others[len(traced) - 1 :]
    for timing in edited:
        yield compare("edits", what, timing, unedited)
    for timing, other in zip(static_timings, [unedited, *edited], strict=True):
        yield compare("edits", what, timing, other)
