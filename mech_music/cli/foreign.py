"""An axis that means nothing to the chosen task, said in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException

from mech_music.base.errors import UserError
from mech_music.cli.explain import NO_KEY
from mech_music.config.paths import also_in, conf_dir
from mech_music.config.schema import RunConfig, keys
from mech_music.tasks.registry import all_axes, axes_of, unknown_key


def of_another_task(error: BaseException, words: Sequence[str]) -> BaseException:
    """``error``; or what says more, if it comes of a key among the command line's ``words`` that their task has not.

    Hydra only says that there is no such key; it may be an axis of another task. May be called while Hydra composes,
    and after it has failed.
    """
    found = NO_KEY.search(str(error)) if isinstance(error, ConfigCompositionException) else None
    if found is None:
        return error
    key = re.split(r"[.@]", found[1])[0]
    with composing(words) as overrides:
        for task in _tasks(overrides):
            if key not in [*keys(RunConfig), *axes_of(task), "hydra", "experiment"]:
                return UserError(unknown_key(key, task))
    return error


def for_several_tasks(words: Sequence[str]) -> list[str]:
    """The words of a command line, fit for a sweep over tasks: their axes are swept as well, be it over one value.

    Hydra composes what is not swept with the default task first, which may not have such an axis.
    """
    if not any(word.startswith("task=") and _is_swept(word) for word in words):
        return list(words)
    axes = all_axes()
    return [_as_choice(word) if word.partition("=")[0] in axes and not _is_swept(word) else word for word in words]


def _is_swept(word: str) -> bool:
    return OverridesParser.create().parse_override(word).is_sweep_override()


def _as_choice(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}=choice({value})"


@contextmanager
def composing(words: Sequence[str]) -> Iterator[list[str]]:
    """Within, Hydra and we look where the command line says; gives the overrides among its words."""
    if GlobalHydra.instance().is_initialized():
        yield list(words)
        return
    given = get_args_parser().parse_args(list(words))
    folder = Path(given.config_dir) if given.config_dir else None
    with also_in(folder), initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield [*given.overrides, *([f"hydra.searchpath=[file://{folder.resolve()}]"] if folder else [])]


def _tasks(overrides: Sequence[str]) -> list[str]:
    """The tasks that are asked for: what the command line or its experiment chooses, or the default."""
    given = [word.partition("=")[2] for word in overrides if word.startswith("task=")]
    if given:
        return given[-1].split(",")
    telling = [word for word in overrides if word.startswith(("experiment=", "hydra.searchpath=")) and "," not in word]
    return [str(compose("config", telling, return_hydra_config=True).hydra.runtime.choices.task)]
