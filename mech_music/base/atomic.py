"""A file is there whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mech_music.base.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    Folders are made as needed, the suffix is kept (libraries read the format from it), and nothing is left
    behind when the block fails. UserError if the folder cannot be written or the disk is full.
    """
    # Random: two containers on one file system may have the same process numbers.
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        _forget(partial)


def remains(folder: Path) -> list[Path]:
    """What writers that were killed left in a folder."""
    return [*folder.glob(".*.partial"), *folder.glob(".*.partial.*")]


def _forget(partial: Path) -> None:
    try:
        partial.unlink(missing_ok=True)
    except OSError:
        # The folder itself is at fault (it is a file, or cannot be entered): nothing was written.
        return
