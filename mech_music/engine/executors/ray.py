"""Workers as actors of a Ray cluster, where there is room for them; nodes that join are used, lost actors replaced.

Workers that see the store's folder work on it. Others keep theirs where the command was given: an actor there serves
it (`mech_music.store.remote`), and what they make travels through Ray.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mech_music.base.errors import UserError, first_line
from mech_music.config.schema import RayConfig, RunConfig
from mech_music.engine.executors.protocol import Work, WorkersFailed
from mech_music.engine.executors.watch import Ended, useful, watch
from mech_music.engine.executors.worker import Job, OpensEngine, pack, perform, seen
from mech_music.store.remote import RemoteStore, StoreServer

if TYPE_CHECKING:
    from mech_music.engine.engine import Engine

_ASKED_EVERY = 2.0  # seconds between looks for nodes that have joined


class Ray:
    """Makes work by actors."""

    def __init__(self, run: RunConfig, opens: OpensEngine) -> None:
        self._run, self._opens, self._how = run, opens, run.engine.ray

    def make(self, work: Work, engine: Engine) -> None:
        ray = connected(self._how)
        n = self._how.workers or max(1, room(ray, self._how))
        # Where nothing is asked for, every place there is looks.
        most = useful(work, self._how.workers or len(work.rows) + len(work.unread)) if work.asks else n
        n = min(n, most)
        with seen(engine.store) as token:
            job = ray.put(pack(Job.of(self._run, self._opens, work, engine, n, token)))
            actors = Actors(ray, self._how, engine.store.folder.absolute(), (job, str(token)), most)
            try:
                watch(actors, n, work, engine, self._how.restarts)
            finally:
                actors.end()


class Desk(StoreServer):
    """Beside the command: the store, and what workers say."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._lines: list[tuple[str, str]] = []

    def say(self, worker: str, line: str) -> None:
        self._lines.append((worker, line))

    def lines(self) -> list[tuple[str, str]]:
        """What was said since the last look."""
        said, self._lines = self._lines, []
        return said


class _Calls:
    """An actor's methods as if it were here."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        ray: Any = import_module("ray")
        return lambda *values: ray.get(getattr(self._actor, name).remote(*values))


class Worker:
    """What an actor is."""

    def make(self, packed: bytes, token: str, name: str, desk: Any, shared: bool | None) -> str | None:
        """The work; the reason where that cannot be."""
        calls: Any = _Calls(desk)
        in_folder = Path(token).exists() if shared is None else shared
        store = None if in_folder else RemoteStore(calls, name)
        return perform(packed, lambda line: calls.say(name, line), store)


class Actors:
    """The actors of some work. ``most``: as many as can be busy."""

    def __init__(self, ray: Any, how: RayConfig, folder: Path, job: tuple[Any, str], most: int) -> None:
        strategies: Any = import_module("ray.util.scheduling_strategies")
        self._ray, self._how, self._job, self._most = ray, how, job, most
        here = strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._desk = ray.remote(num_cpus=0, scheduling_strategy=here)(Desk).remote(str(folder))
        self._calls = _Calls(self._desk)
        self._actor = ray.remote(num_cpus=how.cpus, num_gpus=how.gpus, max_restarts=0)(Worker)
        self._actors: dict[Any, tuple[str, Any]] = {}
        self._ready: set[str] = set()
        self._started, self._asked = 0, 0.0

    def start(self, n: int) -> None:
        for _ in range(n):
            self._started += 1
            name, actor = f"actor {self._started}", self._actor.remote()
            self._actors[actor.make.remote(*self._job, name, self._desk, self._how.shared)] = name, actor

    def lacking(self) -> int:
        if self._how.workers or time.monotonic() - self._asked < _ASKED_EVERY:
            return 0
        self._asked = time.monotonic()
        return min(self._most, room(self._ray, self._how)) - len(self._actors)

    def ended(self) -> Iterator[Ended]:
        errors = self._ray.exceptions
        done, _ = self._ray.wait(list(self._actors), num_returns=len(self._actors), timeout=0)
        for ref in done:
            name, _actor = self._actors.pop(ref)
            self._ready.discard(name)
            try:
                yield Ended(name, self._ray.get(ref))
            except errors.RayActorError:
                self._calls.forget(name)
                yield Ended(name, died=True)
            except errors.RayError as error:
                yield Ended(name, f"{first_line(getattr(error, 'cause', None) or error)}")

    def lines(self) -> Iterator[str]:
        for name, line in self._said():
            self._ready.add(name)
            yield f"{name}: {line}"

    def _said(self) -> list[tuple[str, str]]:
        try:
            return self._calls.lines()
        except self._ray.exceptions.RayActorError as error:
            raise WorkersFailed(
                f"the actor beside the command that serves the store died: {first_line(error)}"
            ) from None

    def counts(self) -> tuple[int, int]:
        return len(self._ready), len(self._actors) - len(self._ready)

    def stop(self) -> None:
        for _, actor in self._actors.values():
            self._ray.kill(actor)

    def end(self) -> None:
        """The desk as well."""
        self._ray.kill(self._desk)


def room(ray: Any, how: RayConfig) -> int:
    """Actors that the nodes there are could hold."""
    total = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = [("CPU", how.cpus), ("GPU", how.gpus)]
            total += int(min((node["Resources"].get(name, 0) / each for name, each in has if each), default=1))
    return total


def connected(how: RayConfig) -> Any:
    """Ray, connected to the cluster, or to one started here for this command. WorkersFailed if that cannot be."""
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise WorkersFailed("engine.executor=ray needs Ray: pip install 'mech_music[ray]'") from None
    if how.address and how.address.startswith("ray://"):
        raise UserError(
            f"engine.ray.address={how.address}: give the command on a node of the cluster (ray job submit), with auto"
        )
    if not ray.is_initialized():
        own = {} if how.address else {"include_dashboard": False}
        if own:  # its ports, which run what they are sent, are open to other machines: to who has the token alone
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        try:
            ray.init(address=how.address or "local", log_to_driver=False, configure_logging=False, **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise WorkersFailed(f"engine.ray.address={how.address}: {first_line(error)}") from error
    return ray
