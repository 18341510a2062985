"""A real Slurm of four nodes on this machine: the table of an undisturbed run, whatever is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.cluster.faults import KILLS, Sweep, busy_with
from tests.cluster.slurm import Slurm, catches, processes_of

pytestmark = [pytest.mark.cluster, pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing() or "there")]
WORDS = ("engine.executor=submitit", "engine.submitit.cpus=1", "engine.submitit.restarts=10")
WORKER = "submitit.core._submit"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    found = Slurm(tmp_path_factory.mktemp("slurm"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def sweep(cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("sweep"), *WORDS, "engine.submitit.workers=4")


@pytest.fixture
def own(sweep: Sweep, tmp_path: Path) -> Sweep:
    """The same sweep with an empty store."""
    return sweep.again(tmp_path, seconds=3.0)


def test_workers_are_busy(cluster: Slurm, tmp_path: Path) -> None:
    """Eight workers, 400 passes of a second."""
    share = busy_with(tmp_path, *WORDS, "engine.submitit.workers=8")
    cluster.wait_for(lambda: not cluster.jobs(), 30)
    assert share >= 0.95


def test_workers_are_killed(cluster: Slurm, own: Sweep) -> None:
    def kill(chance: random.Random) -> bool:
        workers = [pid for node in cluster.nodes for pid in processes_of(node, WORKER)]
        return bool(workers) and _killed(chance.choice(workers))

    process = own.start("workers")
    killed = own.disturb(process, kill, (1, 6))
    own.must_be_the_same(process)
    assert killed >= min(KILLS, 3)
    assert "died: another is started" in process.printed


def test_nodes_are_killed(cluster: Slurm, own: Sweep) -> None:
    """The power goes; a while later the node is back. Slurm queues its jobs again by itself."""

    def kill(chance: random.Random) -> bool:
        used = [node for node in cluster.nodes if processes_of(node, WORKER)]
        if not used:
            return False
        node = chance.choice(used)
        cluster.kill_node(node)
        time.sleep(2)
        cluster.start_node(node)
        return True

    process = own.start("nodes")
    killed = own.disturb(process, kill, (2, 8))
    own.must_be_the_same(process)
    assert killed >= min(KILLS, 3)


def test_the_command_is_killed(cluster: Slurm, own: Sweep) -> None:
    """Its jobs go on; the same command joins them."""
    chance = random.Random(0)
    for number in range(KILLS):
        process = own.start(f"command{number}")
        time.sleep(chance.uniform(1, 15))
        process.kill()
    own.must_be_the_same(own.start("command"))
    cluster.wait_for(lambda: not cluster.jobs())


def test_ctrl_c_cancels_its_own_jobs_only(cluster: Slurm, own: Sweep) -> None:
    submit = ["sbatch", "--parsable", "--output", "/dev/null", "--wrap", "sleep 300"]
    other = subprocess.run(submit, capture_output=True, text=True, check=True)
    process = own.start("stopped")
    cluster.wait_for(lambda: sum(state == "RUNNING" for state in cluster.jobs().values()) > 2)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130
    assert process.printed.endswith("give the same command again to continue\n")
    cluster.wait_for(lambda: list(cluster.jobs()) == [other.stdout.strip()], 30)
    subprocess.run(["scancel", other.stdout.strip()], check=True)


def test_a_warned_worker_is_queued_again(cluster: Slurm, own: Sweep) -> None:
    """As before its time limit, and as when it is preempted: it goes on from the store."""
    process = own.start("warned")
    own.disturb(process, lambda chance: _warned(cluster, chance), (3, 6))
    own.must_be_the_same(process)
    assert "died" not in process.printed
    logs = subprocess.run(["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True).stdout
    assert any(f"Restarts={n}" in logs for n in range(1, KILLS + 1))


def test_a_job_that_fails_at_once(cluster: Slurm, own: Sweep) -> None:
    process = own.start("broken", 'engine.submitit.setup=["echo no such module >&2; exit 3"]')
    assert process.wait() == 1
    last = process.printed.splitlines()[-1]
    assert last.startswith("mech_music: job ") and "no such module (log: " in last
    cluster.wait_for(lambda: not cluster.jobs(), 30)
    process = own.start("refused", "engine.submitit.partition=nowhere")
    assert process.wait() == 1
    assert "invalid partition" in process.printed.splitlines()[-1]


def _killed(process: int) -> bool:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _is_python(process: int) -> bool:
    """Not the script or the srun around it."""
    try:
        return Path(f"/proc/{process}/comm").read_text().startswith("python")
    except OSError:
        return False


def _warned(cluster: Slurm, chance: random.Random) -> bool:
    """One of the jobs, where none is so young that it would not understand."""
    running = [name for name, state in cluster.jobs().items() if state == "RUNNING"]
    workers = [worker for node in cluster.nodes for worker in processes_of(node, WORKER) if _is_python(worker)]
    if not running or not all(catches(worker, signal.SIGUSR2) for worker in workers):
        return False
    return not subprocess.run(["scancel", "--signal=USR2", chance.choice(running)]).returncode
