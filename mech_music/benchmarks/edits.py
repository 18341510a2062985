"""What edits cost: one edited site, and every site of every layer, against none."""

from __future__ import annotations

from collections.abc import Iterator

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, alternate
from mech_music.benchmarks.models import Subject, duration
from mech_music.benchmarks.ours import edited_tokens, load_ours
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

    def side(name: str, rows: list[Row]) -> Side:
        return Side(f"{name}, {ours.name}", lambda _: edited_tokens(model, rows, mean, frames), n_rows, ours.threads)

    unedited, *edited = alternate([side(*item) for item in named.items()], bench.config.rounds)
    for timing in edited:
        yield compare("edits", f"{subject.name}, {n_rows} rows, {frames} frames", timing, unedited)
