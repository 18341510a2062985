"""A sweep on a cluster, told from an undisturbed one by the bytes of its tables, and its clips counted."""

from __future__ import annotations

import copy
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from mech_music.config.paths import conf_dir
from mech_music.edits.row import Row
from mech_music.engine.opening import open_engine
from tests.cluster.simulated import JOURNAL, MODEL, SECONDS, busy, passes
from tests.composing import compose_run
from tests.test_faults import Process, rows_in

SWEEP = (
    "-m", *MODEL, "component=mlp,sa", "pair=jazz-rock", "layer='0,together'", "prompts=30", "duration=1",
    "metrics=[]", "design=velez2024", "engine.workers=1",
)  # fmt: skip
KILLS = int(os.environ.get("CLUSTER_KILLS", "5"))


class Sweep:
    """The same sweep, undisturbed in this process' way and disturbed in a cluster's. ``words``: of the cluster."""

    def __init__(self, folder: Path, *words: str, seconds: float = 1.0) -> None:
        self.folder, self.words, self.journal = folder, words, folder / "journal"
        self.journal.mkdir(parents=True)
        os.environ |= {"PYTHONPATH": str(conf_dir().parent), "PYTHONWARNINGS": "ignore"}
        os.environ |= {SECONDS: "0", "OMP_NUM_THREADS": "1"}
        os.environ.pop(JOURNAL, None)
        self.undisturbed = Process(folder / "undisturbed", folder / "undisturbed" / "store", *SWEEP)
        assert self.undisturbed.wait() == 0, self.undisturbed.printed
        os.environ |= {SECONDS: str(seconds), JOURNAL: str(self.journal)}

    def again(self, folder: Path, seconds: float) -> Sweep:
        """The same with an empty store and passes of another length."""
        found = copy.copy(self)
        found.folder, found.journal = folder, folder / "journal"
        found.journal.mkdir()
        os.environ |= {SECONDS: str(seconds), JOURNAL: str(found.journal)}
        return found

    def start(self, name: str, *words: str) -> Process:
        return Process(self.folder / name, self.folder / "store", *SWEEP, *self.words, *words)

    def must_be_the_same(self, process: Process) -> None:
        """It ended well, its tables are the undisturbed ones', and no clip was stored twice."""
        assert process.wait() == 0, process.printed
        assert process.tables == self.undisturbed.tables
        distinct, kept = rows_in(self.folder / "store")
        assert distinct == rows_in(self.undisturbed.folder / "store")[0]
        assert kept == distinct, "a pass was made twice"

    def stored(self) -> int:
        return rows_in(self.folder / "store")[0]

    def disturb(self, process: Process, kill: Callable[[random.Random], bool], between: tuple[float, float]) -> int:
        """Kill at random moments, from its first clip on, as long as it runs; how often that was possible."""
        chance, killed = random.Random(0), 0
        while not list((self.folder / "store").glob("*/clips/*.safetensors")):
            assert self.runs(process), process.printed
            time.sleep(0.2)
        while killed < KILLS and self.runs(process):
            time.sleep(chance.uniform(*between))
            killed += kill(chance)
        return killed

    @staticmethod
    def runs(process: Process) -> bool:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def busy_with(folder: Path, *words: str, n_passes: int = 400) -> float:
    """The share of eight workers' time in passes of a second that do nothing but sleep."""
    journal = folder / "journal"
    journal.mkdir()
    os.environ |= {"PYTHONPATH": str(conf_dir().parent), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    os.environ |= {SECONDS: "1", JOURNAL: str(journal)}
    run = compose_run(
        *MODEL, "model._target_=tests.cluster.simulated.Sleeping", "engine.pack=8", "engine.workers=1",
        f"engine.store={folder / 'store'}", *words,
    )  # fmt: skip
    engine = open_engine(run)
    engine.quiet = True
    engine.ensure([Row("Play.", seed) for seed in range(8 * n_passes)])
    share, made = busy(journal), passes(journal)
    told = f"{len(made)} workers, {sum(map(len, made.values()))} passes: {share:.1%} of their time in passes"
    Console(stderr=True).print(told)
    assert len(made) == 8 and sum(map(len, made.values())) == n_passes
    return share
