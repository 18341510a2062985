"""Paths as the reader of a page can use them: from the results' folder on, or by their name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from mech_music.base.paths import user_path

_QUOTED = r"(?<=')~?/[^'\n]*/[^'\n]*(?=')"
_IN_YAML = r"(?<=\w: )~?/[^\n]*/[^\n]*$"
_BARE = r"""(?<![\w.:/~'-])~?/(?:[^\s/'",;()<>]+/)+[^\s/'",;()<>]*"""
_ABSOLUTE = re.compile(f"{_QUOTED}|{_IN_YAML}|{_BARE}", re.MULTILINE)


def portable(text: str, folder: Path) -> str:
    """The text with every absolute path in it shortened; ``folder``: where the results are."""
    return _ABSOLUTE.sub(lambda found: _short(found[0], folder), text)


def portable_command(command: str, folder: Path) -> str:
    """The same of a command: a word ``key=<path>`` may have blanks, and is quoted for a shell again."""
    words = [word.partition("=") for word in shlex.split(command)]
    return shlex.join(
        key + equals + (_short(value, folder) if _is_path(value) else value) for key, equals, value in words
    )


def _is_path(value: str) -> bool:
    return value.startswith(("/", "~/"))


def _short(path: str, folder: Path) -> str:
    found, here = user_path(path), folder.resolve()
    if found != here and found.is_relative_to(here):
        return str(found.relative_to(here))
    return found.name
