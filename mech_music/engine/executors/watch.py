"""What every cluster has in common: workers are started, replaced where they die, and stopped; clips are counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.progress import Progress

from mech_music.engine.executors.protocol import Work, WorkersFailed
from mech_music.engine.progress import clips_bar
from mech_music.models.protocol import MIN_PASS

if TYPE_CHECKING:
    from mech_music.engine.engine import Engine

log = logging.getLogger(__name__)
_POLL = 0.5  # seconds between looks at the store and the workers


@dataclass(frozen=True)
class Ended:
    """A worker that runs no more.

    Attributes:
        reason: why the work cannot be made, as it says itself, or because it failed before it began.
        died: ended from outside, or lost with its node; another one may do better.
        log: where more is said.
    """

    name: str
    reason: str | None = None
    died: bool = False
    log: str = ""

    def __str__(self) -> str:
        return f"{self.name}{f': {self.reason}' if self.reason else ''}{f' (log: {self.log})' if self.log else ''}"


class Fleet(Protocol):
    """The workers of some work, as a cluster runs them."""

    def start(self, n: int) -> None:
        """So many more. WorkersFailed if the cluster refuses."""

    def lacking(self) -> int:
        """How many more could be started now, beside those that died: on nodes that have joined."""
        ...

    def ended(self) -> Iterable[Ended]:
        """Those that ended since the last look."""
        ...

    def lines(self) -> Iterable[str]:
        """What workers have said since the last look."""
        ...

    def counts(self) -> tuple[int, int]:
        """How many run, and how many wait for a place."""
        ...

    def stop(self) -> None:
        """Every one that was started here, and nothing else."""


def useful(work: Work, most: int) -> int:
    """As many workers as can be busy: with a pass of clips, or with a recording each."""
    passes = -(-max(len(work.rows), len(work.unread)) // MIN_PASS)
    return max(1, min(most, max(passes, len(work.sources))))


def watch(fleet: Fleet, n: int, work: Work, engine: Engine, restarts: int) -> None:
    """Start ``n`` workers and return when one of them finds everything made; the others are stopped. Where nothing is
    asked for, when each has looked.

    WorkersFailed for one that says why it cannot, and where ``restarts`` have died with no clip stored between.
    """
    with clips_bar(hidden=engine.quiet) as progress:
        bar = progress.add_task(_what(work), total=len(work.rows) if work.asks else None)
        try:
            fleet.start(n)
            _until_made(fleet, work, engine, restarts, progress, bar)
        finally:
            fleet.stop()
        progress.update(bar, completed=len(work.rows))


def _what(work: Work) -> str:
    return "clips" if work.asks else "waiting for workers to look"


def _until_made(fleet: Fleet, work: Work, engine: Engine, restarts: int, progress: Progress, bar: object) -> None:
    died, first = 0, len(engine.store.clips)
    stored = first
    while True:
        for line in fleet.lines():
            progress.console.print(line, markup=False, highlight=False)
        for worker in fleet.ended():
            if worker.reason is not None:
                raise WorkersFailed(str(worker))
            if not worker.died:
                if work.asks or not sum(fleet.counts()):
                    return
                continue
            if died == restarts:
                raise WorkersFailed(
                    f"{died + 1} workers died one after the other and no clip was stored between; the last is "
                    f"{worker}; finished clips are kept"
                )
            died += 1
            log.warning("%s died: another is started", worker)
            fleet.start(1)
        if work.asks and (more := fleet.lacking()) > 0:
            fleet.start(more)
        engine.store.refresh()
        if len(engine.store.clips) > stored:
            died, stored = 0, len(engine.store.clips)
        running, waiting = fleet.counts()
        told = f"{_what(work)} · {running} workers" + (f", {waiting} wait" if waiting else "")
        progress.update(bar, description=told, completed=stored - first)  # type: ignore[arg-type]
        time.sleep(_POLL)
