"""What files hold and classes are made from: results that were computed with them are stored under it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path

from mech_music.base.errors import UserError


class Content:
    """The content of the files that ``find`` names, from now on: it is read when it is first asked for.

    OSError for a file that is not there or cannot be read.
    """

    def __init__(self, find: Callable[[], Sequence[Path]]) -> None:
        self._find, self._files = find, list(find())
        self._states = _states(self._files)

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of each file."""
        return [_digest(file) for file in self._files]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all of them, by their names, wherever they are."""
        named = [f"{file.name} {digest}" for file, digest in zip(self._files, self.digests, strict=True)]
        return hashlib.sha256("\n".join(named).encode()).hexdigest()

    def must_be_unchanged(self, what: str) -> None:
        """UserError if any file was touched since the beginning. ``what``: what was loaded from them meanwhile."""
        try:
            unchanged = _states(self._find()) == self._states
        except (OSError, UserError):
            unchanged = False
        if not unchanged:
            raise UserError(f"{what}: its files changed while it was being loaded; give the same command again")


@cache
def code_of(found: type) -> str:
    """A class by its name and, outside this package (whose version the engine knows), by what it was made from.

    That is the source of its module and of those of its bases. Cached: a file may change after it was imported.
    """
    outside = {base.__module__ for base in found.__mro__ if not base.__module__.startswith("mech_music.")}
    files = [Path(file) for name in sorted(outside) if (file := getattr(sys.modules.get(name), "__file__", None))]
    own = found.__module__ not in outside
    return " ".join([f"{found.__module__}.{found.__qualname__}", *([] if own else [Content(lambda: files).digest])])


def _states(files: Sequence[Path]) -> list[tuple[str, int, int, int, int]]:
    """What a file system changes with every write or replacement of a file."""
    found = [(str(file), file.stat()) for file in files]
    return [(name, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns) for name, state in found]


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
