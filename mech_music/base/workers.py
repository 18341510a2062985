"""One process for each core, for work that a single core does best alone.

A narrow model's operations are too short to be shared between threads, and composing configs is plain Python; two
copies of the process do twice as much. The copies are forked, so they start at once and share what is loaded.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar, cast

from mech_music.base.errors import UserError

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Advance = Callable[[float], None]
_SET_PDEATHSIG = 1  # prctl's number for "signal me when my parent dies"


def can_fork() -> bool:
    """On Linux (elsewhere a copy may not use the system's libraries), in no worker, and without a GPU in use."""
    torch = sys.modules.get("torch")
    in_use = torch is not None and torch.cuda.is_initialized()
    return sys.platform == "linux" and not multiprocessing.current_process().daemon and not in_use


def spread(
    work: Callable[[Unit, Advance], Result], units: Sequence[Unit], n: int, advance: Advance
) -> Iterator[tuple[int, Result]]:
    """Each unit's place and result, as they are finished; in ``n`` processes, or in this one if ``n`` is 1.

    ``work(unit, advance)`` may report progress. What it raises is raised here. Leaving the loop ends the processes.
    UserError if one of them dies.
    """
    if min(n, len(units)) <= 1 or not can_fork():
        for place, unit in enumerate(units):
            yield place, work(unit, advance)
        return
    pool = _Pool(work, units, min(n, len(units)))
    try:
        yield from pool.results(advance)
    finally:
        pool.end()


class _Pool:
    def __init__(self, work: Callable[[Any, Advance], Any], units: Sequence[Any], n: int) -> None:
        self._waiting = iter(range(len(units)))
        self._pipes: dict[Connection, ForkProcess] = {}
        context = multiprocessing.get_context("fork")
        for _ in range(n):
            ours, theirs = cast(tuple[Connection, Connection], context.Pipe())
            process = context.Process(target=_serve, args=(work, units, theirs, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            self._pipes[ours] = process
            self._hand_out(ours)

    def _hand_out(self, pipe: Connection) -> None:
        pipe.send(next(self._waiting, None))

    def results(self, advance: Advance) -> Iterator[tuple[int, Any]]:
        while self._pipes:
            for pipe in wait(list(self._pipes)):
                assert isinstance(pipe, Connection)
                try:
                    kind, *content = pipe.recv()
                except EOFError:
                    self._gone(pipe)
                    continue
                if kind == "advance":
                    advance(*content)
                elif kind == "raise":
                    raise content[0]
                else:
                    self._hand_out(pipe)
                    yield content[0], content[1]

    def _gone(self, pipe: Connection) -> None:
        process = self._pipes.pop(pipe)
        process.join()
        if process.exitcode:
            reason = "out of memory?" if process.exitcode == -signal.SIGKILL else f"exit code {process.exitcode}"
            raise UserError(
                f"a worker process was ended from outside ({reason}); finished clips are kept: "
                "give the same command again, with engine.workers=1 or a smaller engine.pack if memory is short"
            )

    def end(self) -> None:
        for pipe, process in self._pipes.items():
            process.kill()
            process.join()
            pipe.close()
        self._pipes = {}


def _serve(work: Callable[[Any, Advance], Any], units: Sequence[Any], pipe: Connection, parent: int) -> None:
    """Units by number, as the parent asks for them, until there is none."""
    _die_with(parent)
    # Ctrl-C reaches every process of the terminal, a scheduler's warning every one of the job: the parent decides.
    for warning in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(warning, signal.SIG_IGN)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)  # a forked copy has none of the threads of its parent
    while (place := pipe.recv()) is not None:
        try:
            result = work(units[place], lambda amount: pipe.send(("advance", amount)))
        except BaseException as error:
            pipe.send(("raise", _portable(error)))
            return
        pipe.send(("done", place, result))


def _portable(error: BaseException) -> BaseException:
    """A UserError as it is; anything else as a line and its traceback, which always pickles."""
    if isinstance(error, UserError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}\n\n{''.join(traceback.format_exception(error))}")


def _die_with(parent: int) -> None:
    """Be killed when the parent is, however that ends: no worker outlives its command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
