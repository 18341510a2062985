"""Which tasks there are, by name: those of ``conf/task/`` and those in folders that the user gives (``--config-dir``).

A name is looked up in configs and never in a folder of results. Nothing heavy is imported here.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict, read_write

from mech_music.base.errors import UserError, unknown
from mech_music.config.paths import find_config, options
from mech_music.config.schema import RunConfig, keys, register_resolvers
from mech_music.config.targets import target_of
from mech_music.tasks.ablate_structure.settings import AblateStructureSettings
from mech_music.tasks.continuation.settings import ContinuationSettings
from mech_music.tasks.decoder_lens.settings import DecoderLensSettings
from mech_music.tasks.horizon.settings import HorizonSettings
from mech_music.tasks.interchange.settings import InterchangeSettings
from mech_music.tasks.patching.settings import PatchingSettings
from mech_music.tasks.protocol import Task
from mech_music.tasks.sae.settings import SaeSettings
from mech_music.tasks.sae_erase.settings import SaeEraseSettings
from mech_music.tasks.sae_labels.settings import SaeLabelsSettings
from mech_music.tasks.sae_steer.settings import SaeSteerSettings
from mech_music.tasks.self_similarity.settings import SelfSimilaritySettings
from mech_music.tasks.tuned_lens.settings import TunedLensSettings

_SETTINGS = {
    "interchange": InterchangeSettings,
    "decoder_lens": DecoderLensSettings,
    "tuned_lens": TunedLensSettings,
    "sae": SaeSettings,
    "sae_labels": SaeLabelsSettings,
    "sae_steer": SaeSteerSettings,
    "sae_erase": SaeEraseSettings,
    "self_similarity": SelfSimilaritySettings,
    "patching": PatchingSettings,
    "continue": ContinuationSettings,
    "ablate_structure": AblateStructureSettings,
    "horizon": HorizonSettings,
}


def register() -> None:
    """Make the schemas and the resolvers of ``conf/`` known to Hydra. May be called again."""
    _register_schemas()
    register_resolvers()


@cache
def _register_schemas() -> None:
    """Once in a process: it takes a third of a second."""
    store = ConfigStore.instance()
    # Hydra copies where it looks for files whenever it lists a group, 170 times for --help, and every schema with it:
    # ten seconds. There is one store in a process, and what is read from it is copied.
    ConfigStore.__deepcopy__ = lambda one, _: one  # type: ignore[attr-defined]
    # A user's own task adds keys that no class here has; `as_run` gives them their types.
    store.store(name="run_schema", node=OmegaConf.structured(RunConfig, flags={"struct": False}))
    for name, settings in _SETTINGS.items():
        store.store(name=f"{name}_settings", node=settings)


def settings_classes() -> list[type[RunConfig]]:
    """The schemas that are registered."""
    return [RunConfig, *_SETTINGS.values()]


def task_names() -> list[str]:
    """The tasks that can be chosen."""
    return options("task")


def find_task(name: str) -> type[Task]:
    """The class of the task that ``task/<name>.yaml`` writes. UserError if there is no such file or class."""
    path = find_config("task", name)
    written = _written(path)
    target = OmegaConf.select(written, "task._target_") or OmegaConf.select(written, "_target_")
    if not isinstance(target, str):
        raise UserError(f"{path} names no task: write task: {{_target_: module.Class}} in it")
    return target_of(target)


def known_task(name: str) -> type[Task] | None:
    """The class of a task, None for one that is not known here."""
    return find_task(name) if name in task_names() else None


def declared(task: str, hook: str) -> Any:
    """How the task shows its results, ``page``, ``curves`` or ``panels``; None where it leaves that to its schema."""
    return getattr(known_task(task), hook, None)


def axes_of(name: str) -> list[str]:
    """The words that ``task/<name>.yaml`` adds to the command line, config groups such as ``technique`` among them."""
    written = cast(Mapping[str, Any], OmegaConf.to_container(_written(find_config("task", name))))
    if "task" not in written:
        return []
    listed = [next(iter(line)) for line in written.get("defaults", []) if isinstance(line, dict)]
    groups = [str(group).removeprefix("/") for group in listed if "override " not in str(group)]
    return [*(key for key in written if key not in ("task", "defaults")), *groups]


def all_axes() -> list[str]:
    """The axes of every task."""
    return list(dict.fromkeys(axis for name in task_names() for axis in axes_of(name)))


def unknown_key(key: str, task: str) -> str:
    """The line for a key that the task does not have: another task's axis, or a word that is none."""
    owners = [name for name in task_names() if key in axes_of(name)]
    allowed = axes_of(task)
    if not owners or task in owners:
        return unknown("key", key, [*keys(RunConfig), *allowed])
    owned = " and ".join([", ".join(owners[:-1]), owners[-1]] if owners[1:] else owners)
    return f"{key} means nothing to task={task}; it belongs to {owned}. Axes of {task}: {', '.join(allowed) or 'none'}"


def task_of(run: RunConfig) -> Task:
    """The task that a config names. UserError if there is no such class."""
    return target_of(run.task._target_)()


def as_run(cfg: DictConfig) -> RunConfig:
    """The composed config as its task's own typed settings, interpolations resolved; Hydra's own part is left out."""
    composed = copy.copy(cfg)
    with read_write(composed), open_dict(composed):
        composed.pop("hydra", None)
    if OmegaConf.get_type(composed) is RunConfig:  # no schema was registered: the task's class knows the types
        settings = target_of(composed.task._target_).settings
        return _typed(settings, cast(dict[str, Any], OmegaConf.to_container(composed)))
    return cast(RunConfig, OmegaConf.to_object(composed))


class ForeignClass(UserError):
    """A config in a folder of results names a class that no config folder of the user's does."""


def _classes(group: str) -> set[str]:
    """The classes that the files of a config group name, at their top or (of a global package) under the group."""
    written = [_written(find_config(group, name)) for name in options(group)]
    places = ("_target_", f"{group}._target_")
    return {str(target) for file in written for place in places if (target := OmegaConf.select(file, place))}


def read_run(path: Path, task: str) -> RunConfig:
    """The config in a folder of results, of a task that is known by name; nothing that the file names is run.

    Keys that the task does not have (any more) are left out. OSError, YAMLError, OmegaConfBaseException or UserError
    for a file that is not there or not of this version, and for a task that is not known.
    """
    register_resolvers()
    known = find_task(task)
    loaded = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(loaded, dict):
        raise UserError(f"'{path}' is no config of a run")
    default = {"prompt_set": {}}  # earlier versions had no other
    kept = default | {str(key): value for key, value in loaded.items() if key in keys(known.settings)}
    own = f"{known.__module__}.{known.__qualname__}"
    for group, allowed in (("task", {own}), ("classifier", _classes("classifier")), ("model", _classes("model"))):
        named = kept.get(group)
        target = named.get("_target_") if isinstance(named, dict) else None
        if target is not None and str(target) not in allowed:
            raise ForeignClass(f"A config here names {group}._target_={target}, which is no class of conf/{group}.")
    return _typed(known.settings, kept | {"task": {"_target_": own}})


def _written(path: Path) -> DictConfig | ListConfig:
    """A config file; read again only where it has changed, as a sweep's every job asks for the same ones."""
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@cache
def _read(path: Path, _changed: int, _size: int) -> DictConfig | ListConfig:
    return OmegaConf.load(path)


def _typed(settings: type[RunConfig], written: dict[str, Any]) -> RunConfig:
    schema = OmegaConf.structured(settings, flags={"struct": False})
    return cast(RunConfig, OmegaConf.to_object(OmegaConf.merge(schema, written)))
