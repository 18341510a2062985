"""The engine of a config: jobs that agree on model, listeners and settings share one."""

from __future__ import annotations

from dataclasses import asdict, astuple
from functools import partial

from mech_music.base.paths import user_path
from mech_music.config.paths import default_store_dir
from mech_music.config.schema import RunConfig
from mech_music.engine.engine import Engine
from mech_music.engine.passes import Settings
from mech_music.models.handle import open_model
from mech_music.models.sampling import Sampling
from mech_music.store import Store


def open_engine(run: RunConfig) -> Engine:
    """The engine that a config asks for; jobs that agree on model, listeners and settings share one."""
    wanted = (str(run.model), str(run.classifier), astuple(run.sampling), run.duration, astuple(run.engine))
    if wanted not in _ENGINES:
        from mech_music.listeners.registry import listener_names, open_listener

        store = Store(user_path(run.engine.store) if run.engine.store else default_store_dir())
        settings = Settings(Sampling(**asdict(run.sampling)), run.duration)
        _ENGINES.clear()  # one model in memory at a time
        source = open_model(run.model, run.engine.device, run.engine.threads)
        listeners = {name: partial(open_listener, name, run) for name in listener_names()}
        _ENGINES[wanted] = Engine(source, store, settings, listeners, run.engine)
    return _ENGINES[wanted]


_ENGINES: dict[tuple[object, ...], Engine] = {}
