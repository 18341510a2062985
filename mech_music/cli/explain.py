"""Every mistake in one line: what was wrong, what is allowed, and how to mend it."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, get_type_hints

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from mech_music.base.errors import UserError, unknown
from mech_music.base.paths import user_path
from mech_music.config.paths import experiments
from mech_music.config.schema import RunConfig, keys
from mech_music.tasks.registry import all_axes, settings_classes

_KEY = re.compile(r"full_key: (\S+)")
_EXPECTED = re.compile(r"Invalid value '(.*)', expected one of \[(.*)\]")
_TYPE = re.compile(r"Value '(.*)' of type '.*' could not be converted to (\w+)")
NO_KEY = re.compile(r"Could not override '([^']*)'")
_OVERRIDE = re.compile(r"override '?([^'\n]*)'?")
_KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def fail(line: str, status: int = 1) -> NoReturn:
    """End the program with one line on stderr."""
    Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(f"mech_music: {line}")
    sys.exit(status)


@contextmanager
def in_one_line(stopped: str = "stopped") -> Iterator[None]:
    """Within, a mistake ends the program with one line and status 1, an interruption with ``stopped`` and 130."""
    try:
        yield
    except KeyboardInterrupt:
        fail(stopped, 130)
    except Exception as error:
        if not is_known(error):
            raise
        fail(explain(error))


def run_verb(
    words: Sequence[str] | None, usage: str, work: Callable[[Sequence[str], Console], None], stopped: str = "stopped"
) -> None:
    """A verb with words of its own: its usage where help is asked for, or its work, with mistakes in one line."""
    words = sys.argv[1:] if words is None else words
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if {"-h", "--help"} & set(words):
        console.print(usage, end="")
        return
    with in_one_line(stopped):
        work(words, console)


def folder_and_values(words: Sequence[str], usage: str, allowed: Sequence[str]) -> tuple[Path, dict[str, str]]:
    """One folder and ``name=value`` words. UserError, with the ``usage``, for anything else."""
    folders = [word for word in words if "=" not in word]
    if len(folders) != 1:
        raise UserError(f"expected one folder of results (usage: {usage})")
    values = dict(word.split("=", 1) for word in words if "=" in word)
    if strangers := set(values) - set(allowed):
        raise UserError(unknown("word", min(strangers), allowed))
    return user_path(folders[0]), values


def is_known(error: BaseException) -> bool:
    """Whether one line says all about ``error``; anything else is a fault in the program and needs a traceback."""
    return isinstance(error, UserError | HydraException | OmegaConfBaseException | OSError)


def explain(error: BaseException) -> str:
    """One line about ``error``, for the screen and for ``failed.txt``."""
    if isinstance(error, UserError):
        return _one_line(str(error))
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _bad_override(error)
    if isinstance(error, OSError):
        return _system(error)
    return f"{type(error).__name__}: {_one_line(str(error))}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _unknown_option(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if group.split("/")[0] == "experiment":
        return unknown("experiment", f"{group}/{name}".removeprefix("experiment/"), experiments())
    return unknown(group, name, error.options) if group and error.options else _one_line(str(error))


def _unreadable(error: OverrideParseException) -> str:
    if "EQUAL" in str(error):
        return f"cannot read '{error.override}': write it as key=value (--help lists the keys)"
    return (
        f"cannot read '{error.override}': quote a value with special characters, "
        f"for instance '{error.override.partition('=')[0]}=\"…\"'"
    )


def _bad_override(error: HydraException | OmegaConfBaseException) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    text, detail = str(error), str(cause)
    key = found[1] if (found := _KEY.search(detail)) else ""
    if text.startswith("Ambiguous value"):
        return f"{_quoted(text)} has several values: add -m to run one job for each, or quote them to keep them in one"
    if found := NO_KEY.search(text):
        return (
            unknown("key", found[1], [*keys(RunConfig), *all_axes()])
            if "." not in found[1]
            else _unknown_nested(found[1])
        )
    if found := _EXPECTED.search(detail):
        return unknown(key, found[1], found[2].split(", "))
    if found := _TYPE.search(detail):
        return f"{key}={found[1]}: expected {_KINDS.get(found[2], found[2])}"
    if "is not a ListConfig" in detail:
        return f"{key} is a list: write it in brackets, for instance {key}=[…]"
    if "is not Optional" in detail:
        return f"{key} may not be null"
    if "Invalid type assigned" in detail:
        return f"{key} is not a single value: set its keys, {', '.join(f'{key}.{name}' for name in _keys_in(key))}"
    return _one_line(f"{text} {detail}" if cause is not error else text)


def _quoted(text: str) -> str:
    return found[1] if (found := re.search(r"'([^']*)'", text)) else text


def _unknown_nested(key: str) -> str:
    parent, _, name = key.rpartition(".")
    allowed = _keys_in(parent)
    return unknown(f"key in {parent}", name, allowed) if allowed else f"unknown key '{key}'; --cfg all shows them all"


def _keys_in(part: str) -> list[str]:
    """The keys of one part of the config (``sampling``); none if it is no part of any task's."""
    parts = {name: of for settings in settings_classes() for name, of in get_type_hints(settings).items()}
    return keys(parts.get(part))


def _system(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename or 'while writing'}): make room and give the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST):
        return (
            f"cannot use {error.filename}: {error.strerror}; choose other folders with hydra.run.dir=…, "
            "hydra.sweep.dir=… and engine.store=…"
        )
    return _one_line(str(error))
