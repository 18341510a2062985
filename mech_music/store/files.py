"""Files that prove themselves: each is named after the SHA-256 of its content and never changed.

So writing is atomic, two processes never clash (equal content has an equal name), and reading verifies: a
truncated or flipped file is set aside, and what it held is computed again. The digest covers the beginning of the
name as well, so that a file under another's key is a damaged one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from contextlib import suppress
from pathlib import Path

from mech_music.base.errors import UserError

log = logging.getLogger(__name__)
DAMAGED = ".damaged"


def write_file(folder: Path, prefix: str, content: bytes, suffix: str = ".safetensors") -> str:
    """Write ``content`` to ``<prefix><digest><suffix>``: whole, durable, or not at all. Returns the name.

    UserError if the folder cannot be written or the disk is full.
    """
    name = f"{prefix}{_digest(prefix, content)}{suffix}"
    partial = folder / f".{name[:48]}.{uuid.uuid4().hex}"
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UserError(
            f"store folder '{folder}' cannot be written ({error.strerror}): free space or set engine.store elsewhere"
        ) from None
    return name


def _digest(prefix: str, content: bytes) -> str:
    return hashlib.sha256(prefix.encode() + content).hexdigest()


def read_file(path: Path) -> bytes | None:
    """The content if it is what was written. None for a file that is gone, and for one that is set aside as damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"store file '{path}' cannot be read ({error.strerror})") from None
    prefix, dash, digest = path.stem.rpartition("-")
    if _digest(prefix + dash, content) == digest:
        return content
    set_aside(path)
    return None


def set_aside(path: Path) -> None:
    """Take a damaged file out of use, with a warning; its bytes are kept."""
    with suppress(FileNotFoundError):  # another process was quicker
        path.replace(path.with_suffix(DAMAGED))
    log.warning("store file %s is damaged: set aside as %s, what it held is computed again", path.name, DAMAGED)


def is_partial(path: Path) -> bool:
    """Whether a file is the remains of a writer that was killed (or still in the hands of one that writes)."""
    return path.name.startswith(".")
