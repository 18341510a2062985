"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

from mech_music.base.errors import UserError


def user_path(path: str | Path) -> Path:
    """With ``~`` in full. UserError for the home of a user who is not known here."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"path '{path}': no user '{Path(path).parts[0][1:]}' is known here; write it in full") from None
