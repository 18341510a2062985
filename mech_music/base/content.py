"""What files hold, as a name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from mech_music.base.errors import UserError


def folder_content(kind: str, folder: Path, names: Sequence[str], fix: str) -> str:
    """SHA-256 of some files of a folder, one after the other. UserError, with the ``fix``, if one cannot be read."""
    content = hashlib.sha256()
    try:
        for name in names:
            content.update((folder / name).read_bytes())
    except OSError as error:
        missing = f"{Path(error.filename or '').name}: {error.strerror}"
        raise UserError(f"no {kind} in '{folder}' ({missing}): {fix}") from None
    return content.hexdigest()
