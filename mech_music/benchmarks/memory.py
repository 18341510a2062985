"""Peak memory of a real run with N and with 10 N rows.

Run as a module it is the child: ``python -m mech_music.benchmarks.memory <rows> <frames> <store> <device>``.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.children import python
from mech_music.benchmarks.measure import paired_ratio
from mech_music.benchmarks.table import Line

_EVERY = 0.05  # seconds between looks at the worker processes


def run(bench: Bench) -> Iterator[Line]:
    """Fresh child processes, N and 10 N rows in turn."""
    sizes = bench.config.memory
    peaks: dict[int, list[dict[str, float]]] = {sizes.rows: [], sizes.rows * sizes.times: []}
    for number in range(bench.config.rounds):
        for n, found in peaks.items():
            store = bench.scratch / f"memory-{number}-{n}"
            words = ["-m", __name__, str(n), str(sizes.frames), str(store), str(bench.device)]
            found.append(json.loads(python(words, bench.scratch).splitlines()[-1]))
    small, large = peaks.values()
    more = sizes.rows * (sizes.times - 1)
    for kind in small[0]:
        values = tuple(p[kind] for p in large), tuple(p[kind] for p in small)
        grown = 1024 * (median(values[0]) - median(values[1])) / more
        yield Line(
            "memory", f"tiny, {sizes.frames} frames: {kind}", f"{sizes.rows * sizes.times} rows", f"{sizes.rows} rows",
            "MB", paired_ratio(*values), values, f"{grown:.1f} kB for each row more",
        )  # fmt: skip


def main(n: int, frames: int, store: Path, device: str) -> dict[str, float]:
    """The child: ``n`` rows through the engine on tiny; peak megabytes by kind."""
    import torch

    from mech_music.benchmarks import rows as made
    from mech_music.benchmarks.models import bundled, duration
    from mech_music.benchmarks.ours import load_ours
    from mech_music.config.schema import ClassifierConfig
    from mech_music.engine.engine import Engine
    from mech_music.engine.passes import Settings
    from mech_music.listeners.classifier import ClassifierListener
    from mech_music.models.sampling import Sampling
    from mech_music.store import Store

    with _watching() as workers:
        ours = load_ours(bundled(), torch.device(device))
        torch.set_num_threads(ours.threads)
        listeners = {"classifier": lambda: ClassifierListener(ClassifierConfig(name="tiny"), device)}
        engine = Engine(ours.source, Store(store), Settings(Sampling(), duration(frames)), listeners, quiet=True)
        passes = (made.versions(prompt, 1, ours.model.n_layers) for prompt in made.prompts(n))
        rows = [row for version in passes for row in version][:n]
        if len(engine.answers(rows, ("classifier",)).keys) != len(set(rows)):
            raise RuntimeError("the engine did not answer every row")
    peaks = {"peak resident memory": (_own_peak() + sum(workers.values())) / 1024}
    if device.startswith("cuda"):
        peaks["peak GPU memory of this process"] = torch.cuda.max_memory_allocated() / 2**20
    return peaks


def _own_peak() -> float:
    """Kilobytes. Not ``getrusage`` where /proc tells: a process inherits its parent's peak there."""
    return _peak(Path("/proc/self")) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _peak(process: Path) -> int:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


@contextmanager
def _watching() -> Iterator[dict[str, int]]:
    """Peak kilobytes of every process that this one starts inside the block, by process id (Linux only)."""
    peaks: dict[str, int] = {}
    done = threading.Event()

    def look() -> None:
        while not done.wait(_EVERY):
            for child in _descendants("self"):
                peaks[child] = max(peaks.get(child, 0), _peak(Path("/proc") / child))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peaks
    finally:
        done.set()
        watcher.join()


def _descendants(process: str) -> Iterator[str]:
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = listed.read_text().split()
        except OSError:
            continue
        for child in children:
            yield child
            yield from _descendants(child)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])) + "\n")
