"""Work in several processes: every result once, errors raised here, and nothing left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mech_music.base.errors import UserError
from mech_music.base.machine import n_cores
from mech_music.base.workers import Advance, spread


def square(x: int, advance: Advance) -> tuple[int, int]:
    advance(0.5)
    time.sleep(0.01)
    return os.getpid(), x * x


@pytest.mark.parametrize("n", [1, 3])
def test_every_result_once_and_all_progress(n: int) -> None:
    progress: list[float] = []
    results = dict(spread(square, range(7), n, progress.append))
    assert {place: value for place, (_, value) in results.items()} == {x: x * x for x in range(7)}
    processes = {process for process, _ in results.values()}
    assert (processes == {os.getpid()}) == (n == 1)
    assert sum(progress) == 3.5
    assert not multiprocessing.active_children()


def test_an_error_is_raised_here_and_the_others_are_ended() -> None:
    def fail(x: int, _: Advance) -> int:
        if x == 1:
            raise UserError("no such thing")
        time.sleep(60)
        return x

    start = time.monotonic()
    with pytest.raises(UserError, match="no such thing"):
        list(spread(fail, [0, 1], 2, lambda _: None))
    assert time.monotonic() - start < 10
    assert not multiprocessing.active_children()


def test_a_fault_comes_with_its_traceback() -> None:
    def fault(x: int, _: Advance) -> float:
        return 1 / x

    with pytest.raises(RuntimeError, match=r"(?s)ZeroDivisionError.*in fault"):
        list(spread(fault, [0, 0], 2, lambda _: None))


def test_a_worker_that_is_killed_is_one_line() -> None:
    def die(x: int, _: Advance) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match="out of memory"):
        list(spread(die, [0, 1], 2, lambda _: None))


def test_no_worker_forks_again() -> None:
    def nested(x: int, _: Advance) -> list[tuple[int, tuple[int, int]]]:
        return list(spread(square, [1, 2], 2, lambda _: None))

    for _, results in spread(nested, [0, 1], 2, lambda _: None):
        assert len({process for _, (process, _) in results}) == 1


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    """SIGKILL leaves no time for goodbyes; the workers go all the same."""
    code = (
        "import os, time; from mech_music.base.workers import spread\n"
        f"def work(x, _): open(r'{tmp_path}/%d' % os.getpid(), 'w').close(); time.sleep(300)\n"
        "list(spread(work, [0, 1], 2, lambda _: None))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while len(list(tmp_path.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    pids = [int(path.name) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def test_cores_are_those_this_process_may_use() -> None:
    """As under Slurm, which gives a job a few cores of many."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(own)})
    try:
        assert n_cores() == 1
    finally:
        os.sched_setaffinity(0, own)
