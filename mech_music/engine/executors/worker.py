"""A worker: an engine elsewhere that makes the same work on the same store, beside others, until none is left."""

from __future__ import annotations

import logging
import pickle
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, TypeAlias

from mech_music.base.errors import UserError
from mech_music.base.versions import installed_versions
from mech_music.config.paths import also_in, config_folders
from mech_music.config.schema import ExecutorName, RunConfig

if TYPE_CHECKING:
    from mech_music.engine.engine import Engine
    from mech_music.engine.executors.protocol import Work
    from mech_music.store import Store

_PACKAGES = ("torch", "audiocraft", "nnsight", "transformers", "numpy")
OpensEngine: TypeAlias = "Callable[[RunConfig, Store | None], Engine]"
MARK = "mech_music: "
"""How lines begin that a worker has for whoever started it."""


@dataclass(frozen=True)
class Job:
    """What every worker of some work is sent.

    Attributes:
        run: the config, as a worker's own engine takes it.
        token: a file in the store's folder and nowhere else: who sees it sees the store.
        opens: makes the engine of a config, with a store in the place of the config's or None.
        versions, identity: of packages, and what decides the keys of clips and readings; a worker that finds others
            makes nothing.
    """

    run: RunConfig
    opens: OpensEngine
    work: Work
    n_engines: int
    token: Path
    versions: dict[str, str]
    identity: dict[str, str]

    @classmethod
    def of(cls, run: RunConfig, opens: OpensEngine, work: Work, engine: Engine, n_engines: int, token: Path) -> Job:
        # A copy of an actor cannot call Ray: one process each.
        workers = 1 if run.engine.executor is ExecutorName.ray else run.engine.workers
        store = str(engine.store.folder.absolute())
        how = replace(run.engine, executor=ExecutorName.local, store=store, device=device_of(run), workers=workers)
        own = replace(run, engine=how)
        return cls(own, opens, work, n_engines, token, versions(), identity(engine, work.listeners))


@contextmanager
def seen(store: Store) -> Iterator[Path]:
    """A file that whoever sees the store's folder sees."""
    token = store.place.absolute() / f".seen-{uuid.uuid4().hex}"
    token.touch()
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


def versions() -> dict[str, str]:
    """Of what a clip's last bit may depend on."""
    return {"python": python_version(), **dict(installed_versions(_PACKAGES))}


def device_of(run: RunConfig) -> str:
    """The kind of device that workers have: what they are given, where the config leaves it open."""
    if run.engine.device != "auto":
        return run.engine.device.partition(":")[0]
    given = run.engine.ray.gpus if run.engine.executor is ExecutorName.ray else run.engine.submitit.gpus
    return "cuda" if given else "cpu"


def identity(engine: Engine, listeners: tuple[str, ...]) -> dict[str, str]:
    """What decides the keys of an engine's clips and readings, by what it is."""
    return {"model and settings": engine.passes.generation} | {
        f"listener {name}": engine.listener(name).id for name in listeners
    }


def pack(job: Job) -> bytes:
    """A job as bytes, with where its classes are to be found."""
    places = [str(Path(place).absolute()) for place in sys.path if place and Path(place).is_dir()]
    return pickle.dumps((places, [str(folder) for folder in config_folders()[1:]], pickle.dumps(job)))


def perform(packed: bytes, say: Callable[[str], None], store: Store | None = None) -> str | None:
    """Make a packed job; the reason where that cannot be. ``say``: takes lines for whoever started it.

    ``store``: in the place of the folder that the config names.
    """
    places, folders, content = pickle.loads(packed)
    sys.path += [place for place in places if place not in sys.path]
    _report(say)
    try:
        with ExitStack() as stack:
            for folder in folders:
                stack.enter_context(also_in(Path(folder)))
            _make(pickle.loads(content), say, store)
    except UserError as error:
        return str(error)
    return None


def _make(job: Job, say: Callable[[str], None], store: Store | None) -> None:
    here = socket.gethostname()
    for package, found in versions().items():
        if found != (wanted := job.versions.get(package)):
            raise UserError(f"{here} has {package} {found}, but {wanted} where the command was given: install that")
    if store is None and not job.token.exists():
        raise UserError(
            f"{here} does not see the store's folder '{job.run.engine.store}': set engine.store to one on a file "
            "system that all nodes see"
        )
    engine = job.opens(job.run, store)
    engine.quiet = True
    for what, found in identity(engine, job.work.listeners).items():
        if found != job.identity[what]:
            raise UserError(f"{here} has another {what} than where the command was given: copy its weights there")
    engine.store.leases.claim(["0" * 64]).release()  # UserError for a store that may not be written
    say(f"ready on {here}: {_card(engine)}, passes of {engine.pass_rows} clips; same versions, weights and store")
    engine.make(job.work, job.n_engines)


def _card(engine: Engine) -> str:
    import torch

    device = engine.passes.model.device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _report(say: Callable[[str], None]) -> None:
    """Warnings go to whoever started the worker."""
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: say(record.getMessage())
    logger = logging.getLogger("mech_music")
    logger.handlers = [handler]
