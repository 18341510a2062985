"""Hydra's composing, for tests: the files that are chosen are merged once in a process, values are set on a copy.

Hydra reads and merges twenty files for every command, which takes a quarter of a second; hundreds of tests choose the
same files. What is kept is pickled: unpickling takes a tenth of the time of a deep copy.
`tests/test_composer.py` holds that what comes of it, and what is raised, is Hydra's own.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.utils import JobRuntime
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mech_music.config.paths import conf_dir

_CONF = conf_dir()
_HYDRAS = ConfigLoaderImpl._load_configuration_impl
_READ = ConfigRepository.load_config
_merged: dict[tuple[object, ...], bytes] = {}
_files: dict[tuple[str, ...], bytes] = {}


def compose_once(patch: pytest.MonkeyPatch) -> None:
    """As long as ``patch`` lasts. Folders of a user's own, whose files may change, are read as ever."""
    patch.setattr(ConfigLoaderImpl, "_load_configuration_impl", _load)
    patch.setattr(ConfigRepository, "load_config", _read)


def _load(
    self: ConfigLoaderImpl,
    config_name: str | None,
    overrides: list[str],
    run_mode: RunMode,
    from_shell: bool = True,
    validate_sweep_overrides: bool = True,
) -> DictConfig:
    parsed = OverridesParser.create().parse_overrides(overrides)
    swept = [override for override in parsed if override.is_sweep_override()]
    is_other = any(not _is_plain(override) for override in parsed) or (swept and run_mode is RunMode.RUN)
    if is_other or config_name != "config" or not _is_ours(self):
        return _HYDRAS(self, config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
    single = [override for override in parsed if override not in swept]
    files = [str(override.input_line) for override in single if _chooses_file(override)]
    key = (*files, run_mode, JobRuntime().get("name"))
    if key not in _merged:
        merged = _HYDRAS(self, config_name, files, run_mode, from_shell, validate_sweep_overrides)
        OmegaConf.clear_cache(merged)
        _merged[key] = pickle.dumps(merged)
    config = pickle.loads(_merged[key])
    ConfigLoaderImpl._apply_overrides_to_config([o for o in single if not _chooses_file(o)], config)
    _note(parsed, config)
    return config


def _read(self: ConfigRepository, config_path: str) -> ConfigResult | None:
    source = self._find_object_source(config_path, ObjectType.CONFIG)
    if source is None or not _is_own(f"{source.scheme()}://{source.path}"):
        return _READ(self, config_path)
    key = (source.scheme(), source.path, source.provider, config_path)
    if key not in _files:
        _files[key] = pickle.dumps(_READ(self, config_path))
    return pickle.loads(_files[key])


def _is_ours(loader: ConfigLoaderImpl) -> bool:
    """Whether no folder of a user's is looked in."""
    return all(_is_own(str(place.path)) for place in loader.config_search_path.get_path())


def _is_own(place: str) -> bool:
    """Whether it belongs to this checkout or to a package."""
    return not place.startswith("file://") or place.removeprefix("file://") == str(_CONF)


def _is_plain(override: Override) -> bool:
    """``key=value``: nothing added or removed, no package, no other place for files."""
    is_change = override.type is OverrideType.CHANGE and override.package is None
    return is_change and override.key_or_group != "hydra.searchpath"


def _chooses_file(override: Override) -> bool:
    group = override.key_or_group
    return (group.startswith("hydra/") or (_CONF / group).is_dir()) and not isinstance(override.value(), dict)


def _note(parsed: Sequence[Override], config: DictConfig) -> None:
    """What Hydra writes into a config of the words and the place that it was made with."""
    own = [override for override in parsed if not override.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in own]
    config.hydra.overrides.hydra = [override.input_line for override in parsed if override.is_hydra_override()]
    config.hydra.runtime.cwd = os.getcwd()
    naming = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        own, kv_sep=naming.kv_sep, item_sep=naming.item_sep, exclude_keys=naming.exclude_keys
    )
