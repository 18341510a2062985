"""How a job of a sweep ends. Light, because Hydra's plugins import it at the start of every command."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FAILED = "failed.txt"


@dataclass(frozen=True)
class Done:
    """A job that finished; its results are in ``folder``."""

    folder: Path


@dataclass(frozen=True)
class Failed:
    """A job that did not finish, and why, in one line."""

    folder: Path
    reason: str


def record_failure(folder: Path, reason: str) -> Failed:
    """Write the reason to `FAILED` in the job's folder (if that can be written at all)."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILED).write_text(reason + "\n")
    return Failed(folder, reason)
