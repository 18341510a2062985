"""A Ray cluster of three nodes on this machine: with a common folder and without one, whatever is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from mech_music.config.paths import conf_dir
from tests.cluster.faults import KILLS, Sweep, busy_with

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'mech_music[ray]'"),
]
WORDS = ("engine.executor=ray", "engine.ray.cpus=1", "engine.ray.restarts=10")


class RayCluster:
    """A head and two nodes that hold two actors each."""

    def __init__(self) -> None:
        words = [sys.executable, "-W", "ignore", "-m", "tests.cluster.ray_nodes"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = f"engine.ray.address={self._told()}"

    def _told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def kill_node(self, chance: random.Random) -> bool:
        """One goes, another joins."""
        self._tell(f"kill {chance.randrange(2)}")
        return self._told() == "done"

    def end(self) -> None:
        self._tell("end")
        self._process.communicate()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    os.environ["PYTHONPATH"] = str(conf_dir().parent)
    # Where processors are short a worker takes longer than Ray's minute to start, and is started over for ever.
    os.environ |= {"RAY_worker_register_timeout_seconds": "600"}
    found = RayCluster()
    yield found
    found.end()


@pytest.fixture(scope="module")
def sweep(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("sweep"), *WORDS, cluster.address)


@pytest.fixture
def own(sweep: Sweep, tmp_path: Path) -> Sweep:
    return sweep.again(tmp_path, seconds=3.0)


@pytest.mark.parametrize("shared", ["true", "false"])
def test_workers_are_killed(own: Sweep, shared: str) -> None:
    """Once with the store's folder in sight, once with everything through Ray."""
    process = own.start("workers", f"engine.ray.shared={shared}")
    killed = own.disturb(process, lambda chance: _killed(chance), (1, 6))
    own.must_be_the_same(process)
    assert killed >= min(KILLS, 3) and "died: another is started" in process.printed


@pytest.mark.parametrize("shared", ["true", "false"])
def test_nodes_are_killed_and_join(cluster: RayCluster, own: Sweep, shared: str) -> None:
    process = own.start("nodes", f"engine.ray.shared={shared}")
    killed = own.disturb(process, cluster.kill_node, (3, 8))
    own.must_be_the_same(process)
    assert killed >= min(KILLS, 3) and "died: another is started" in process.printed


def test_the_command_is_killed(own: Sweep) -> None:
    """Its actors end with it; the same command goes on from the store."""
    chance = random.Random(0)
    for number in range(KILLS):
        process = own.start(f"command{number}", "engine.ray.shared=false")
        time.sleep(chance.uniform(5, 25))
        process.kill()
    own.must_be_the_same(own.start("command", "engine.ray.shared=false"))


def test_workers_are_busy(cluster: RayCluster, tmp_path: Path) -> None:
    """Eight actors, 400 passes of a second, everything through Ray."""
    words = (*WORDS, cluster.address, "engine.ray.cpus=0.5", "engine.ray.workers=8", "engine.ray.shared=false")
    assert busy_with(tmp_path, *words) >= 0.95


def workers() -> list[int]:
    """The processes of the actors that make passes."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if words.startswith("ray::Worker"):
            found.append(int(place.name))
    return found


def _killed(chance: random.Random) -> bool:
    if not (found := workers()):
        return False
    try:
        os.kill(chance.choice(found), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
