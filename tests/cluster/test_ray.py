"""A Ray cluster of three nodes on this machine: with a common folder and without one, whatever is killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.faults import KILLS, Sweep, busy_with

ray: Any = pytest.importorskip("ray", reason="needs Ray: pip install 'mech_music[ray]'")
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]
WORDS = ("engine.executor=ray", "engine.ray.cpus=1", "engine.ray.restarts=10")
NODE = {"num_cpus": 2, "object_store_memory": 80_000_000, "include_dashboard": False}


class RayCluster:
    """Of three nodes."""

    def __init__(self) -> None:
        self.cluster = import_module("ray.cluster_utils").Cluster(
            initialize_head=True, head_node_args={**NODE, "num_cpus": 0}
        )
        self.nodes = [self.cluster.add_node(**NODE) for _ in range(2)]

    @property
    def address(self) -> str:
        return f"engine.ray.address={self.cluster.address}"

    def kill_node(self, chance: random.Random) -> bool:
        """One goes, another joins."""
        node = self.nodes.pop(chance.randrange(len(self.nodes)))
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes.append(self.cluster.add_node(**NODE))
        return True


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    os.environ |= {"RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    os.environ["OMP_NUM_THREADS"] = "1"
    found = RayCluster()
    yield found
    found.cluster.shutdown()


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
