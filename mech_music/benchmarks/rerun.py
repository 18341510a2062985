"""A sweep whose rows are all stored, run again: what the jobs themselves cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from mech_music.base.errors import UserError
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.children import python
from mech_music.benchmarks.measure import paired_ratio
from mech_music.benchmarks.table import Line
from mech_music.prompts.declared import load_prompt_set

_COMPONENTS = "mlp,sa,ca,resid"


def run(bench: Bench) -> Iterator[Line]:
    """One sweep that fills the store, and the same command again."""
    sizes = bench.config.rerun
    pairs = [f"{a.name}-{b.name}" for a, b in load_prompt_set().resolve_pairs("instruments+genres")]
    if not 1 <= sizes.pairs <= len(pairs):
        raise UserError(f"rerun.pairs={sizes.pairs}: expected 1 to {len(pairs)}")
    axes = [
        f"component={_COMPONENTS}", f"pair={','.join(pairs[: sizes.pairs])}",
        f"strength={','.join(f'{(i + 1) / sizes.strengths:g}' for i in range(sizes.strengths))}",
    ]  # fmt: skip
    fixed = [
        "technique=steer", "layer=0", "controls=[]", f"prompts={sizes.prompts}", f"duration={sizes.duration:g}",
        "logger=none", f"engine.device={bench.device}", f"engine.store={bench.scratch / 'rerun'}",
    ]  # fmt: skip
    jobs = 4 * sizes.pairs * sizes.strengths
    seconds = [_sweep(bench, name, jobs, [*axes, *fixed]) for name in ("first", "again")]
    first, again = ((taken,) for taken in seconds)
    what = f"tiny, multirun of {jobs} jobs ({sizes.prompts} prompts, {sizes.duration:g} s, one layer)"
    note = f"{median(again) / jobs:.3f} s a job when all is stored, start of the program included"
    yield Line("rerun", what, "first run", "run again", "s", paired_ratio(first, again), (first, again), note)


def _sweep(bench: Bench, name: str, jobs: int, words: list[str]) -> float:
    folder = bench.scratch / f"sweep-{name}"
    start = time.perf_counter()
    python(["-m", "mech_music.run", "-m", *words, f"hydra.sweep.dir={folder}"], bench.scratch)
    taken = time.perf_counter() - start
    done = len(list(folder.glob("*/table.parquet")))
    if done != jobs:
        raise UserError(f"the sweep left {done} tables, expected {jobs}: see {folder}")
    return taken
