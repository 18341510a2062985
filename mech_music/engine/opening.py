"""The engine of a config: jobs that agree on model, listeners and settings share one."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from mech_music.base.paths import user_path
from mech_music.config.paths import default_store_dir
from mech_music.config.schema import ExecutorName, RunConfig
from mech_music.engine.engine import Engine
from mech_music.engine.executors.protocol import Executor, Local
from mech_music.engine.executors.worker import device_of
from mech_music.engine.passes import Settings
from mech_music.models.handle import LazyModel, OnWorkers, open_model
from mech_music.models.sampling import Sampling
from mech_music.store import Store


def open_engine(run: RunConfig, store: Store | None = None) -> Engine:
    """The engine that a config asks for; jobs that agree on model, listeners and settings share one.

    ``store``: in the place of the config's.
    """
    wanted = str((run.model, run.classifier, run.sampling, run.duration, run.engine, store and store.folder))
    if wanted not in _ENGINES:
        from mech_music.listeners.registry import listener_names, open_listener

        store = store or open_store(run)
        settings = Settings(Sampling(**asdict(run.sampling)), run.duration)
        _ENGINES.clear()  # one model in memory at a time
        listeners = {name: partial(open_listener, name, run) for name in listener_names()}
        _ENGINES[wanted] = Engine(_model(run), store, settings, listeners, run.engine, executor=_executor(run))
    return _ENGINES[wanted]


def open_store(run: RunConfig) -> Store:
    """The store that a config asks for."""
    return Store(user_path(run.engine.store) if run.engine.store else default_store_dir())


def _executor(run: RunConfig) -> Executor:
    """Libraries of clusters are imported only where they are asked for."""
    match run.engine.executor:
        case ExecutorName.local:
            return Local()
        case ExecutorName.submitit:
            from mech_music.engine.executors.submitit import Submitit

            return Submitit(run, open_engine)
        case ExecutorName.ray:
            from mech_music.engine.executors.ray import Ray

            return Ray(run, open_engine)


def _model(run: RunConfig) -> LazyModel:
    """The model, as whoever makes passes has it."""
    here = run.engine.executor is ExecutorName.local
    device = run.engine.device if here else device_of(run)
    if not here and device != "cpu":
        return OnWorkers(run.model, device, run.engine.threads)
    return open_model(run.model, device, run.engine.threads)


_ENGINES: dict[str, Engine] = {}
