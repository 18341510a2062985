"""What the DecoderLens costs: every layer read along one generation, and every layer generating by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, alternate
from mech_music.benchmarks.models import duration
from mech_music.benchmarks.ours import load_ours
from mech_music.benchmarks.table import Line, compare
from mech_music.edits.row import Exit, Reading, Row
from mech_music.engine.passes import PassRunner, Settings
from mech_music.models.hooks import Hook
from mech_music.models.sampling import Sampling
from mech_music.store import Store


def run(bench: Bench) -> Iterator[Line]:
    """On tiny; tokens only, in one process. A clip of the free side is one layer's; of the forced one, all layers'."""
    sizes = bench.config.lenses
    ours = load_ours(bench.tiny, bench.device)
    settings = Settings(Sampling(), duration(sizes.tiny_frames))
    passes = PassRunner(ours.source, Store(bench.scratch / "lenses"), settings)
    clips, n_layers = [Row(made.prompts(1)[0], seed) for seed in range(sizes.tiny_rows)], ours.model.n_layers

    def side(name: str, rows: Sequence[Row], n_clips: int) -> Side:
        return Side(f"{name}, {ours.name}", lambda _: passes.tokens(rows), n_clips, ours.threads)

    n = len(clips)
    forced = side(f"all {n_layers} layers read along it", [*clips, *read(clips, Reading.forced, n_layers)], n)
    free = side("each layer's own generation", [*clips, *read(clips, Reading.free, n_layers)], n * n_layers)
    plain = side("no lens", clips, n)
    forced_time, generation, free_time = alternate([forced, plain, free], bench.config.rounds)
    for timing in (forced_time, free_time):
        yield compare("lenses", f"tiny, {n} rows, {sizes.tiny_frames} frames", timing, generation)


def read(clips: Sequence[Row], reading: Reading, n_layers: int) -> list[Row]:
    """Every clip, read after every layer but the last: there it is the clip itself."""
    exits = [Exit(Hook(layer, "resid_post").name, reading) for layer in range(n_layers - 1)]
    return [replace(clip, exit=leave) for leave in exits for clip in clips]
