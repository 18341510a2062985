"""What an executor is: work in, and everything that it asks for is in the store afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mech_music.base.errors import UserError
from mech_music.edits.row import Row

if TYPE_CHECKING:
    from mech_music.engine.engine import Engine


@dataclass(frozen=True)
class Work:
    """What is not in the store.

    Attributes:
        rows: without a clip. Engines that share work are given the same ones, so that they cut the same passes.
        unread: which some listener has not read, with a clip or without.
        sources: without a recording.
        listeners: names; all of them read every row.
    """

    rows: Sequence[Row] = ()
    unread: Sequence[Row] = ()
    sources: Sequence[Any] = ()
    listeners: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether anything is to be made."""
        return bool(self.rows or self.unread or self.sources)


class WorkersFailed(UserError):
    """Workers cannot do the work; nor could they at a second try."""


class Executor(Protocol):
    """Makes work. Nothing but time depends on which one it is."""

    def make(self, work: Work, engine: Engine) -> None:
        """Everything that ``work`` asks for is in the engine's store afterwards. UserError if that cannot be."""


class Local:
    """The engine's own process, and one for each core where that is faster (`mech_music.base.workers`)."""

    def make(self, work: Work, engine: Engine) -> None:
        engine.make(work)


def apart(requests: Iterable[Any]) -> tuple[list[Row], list[Any]]:
    """Distinct rows, and distinct sources."""
    wanted = dict.fromkeys(requests)
    return [one for one in wanted if isinstance(one, Row)], [one for one in wanted if not isinstance(one, Row)]
