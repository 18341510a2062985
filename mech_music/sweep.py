"""What a sweep leaves when its jobs are done: one table, one set of figures, and the list of what failed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mech_music.errors import UserError

FAILED = "failed.txt"


@dataclass(frozen=True)
class Done:
    """A job that finished; its tables are in ``folder``."""

    folder: Path


@dataclass(frozen=True)
class Failed:
    """A job that did not, and why, in one line."""

    folder: Path
    reason: str


def record_failure(folder: Path, reason: str) -> Failed:
    """Write the reason into the job's folder (if that can be written at all)."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILED).write_text(reason + "\n")
    return Failed(folder, reason)


def finish(folder: Path, results: Sequence[Done | Failed]) -> None:
    """Show and save the sweep's tables; UserError if any job failed, after all the others are shown."""
    from mech_music.report import report_sweep

    done = [result for result in results if isinstance(result, Done)]
    failed = [result for result in results if isinstance(result, Failed)]
    report_sweep(folder, done, failed)
    if failed:
        raise UserError(f"{len(failed)} of {len(results)} jobs failed, for the reasons above")
