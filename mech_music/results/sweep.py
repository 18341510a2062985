"""How a job begins and ends. Light, because Hydra's plugins import it at the start of every command."""

from __future__ import annotations

import csv
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mech_music.base.atomic import remains

TABLE, SUMMARY, FAILED = "table.parquet", "summary.parquet", "failed.txt"
_DRAWN = ("report.html", "beside-*.html", "figures/*.png", "figures/*.svg")
_SIGN = b"mech_music"  # the program that made it, which a page and a figure name near their beginning


@dataclass(frozen=True)
class Done:
    """A job that finished; its results are in ``folder``."""

    folder: Path


@dataclass(frozen=True)
class Failed:
    """A job that did not finish, and why, in one line."""

    folder: Path
    reason: str


def remove_results(folder: Path) -> None:
    """Remove what an earlier run left in its output folder, so that none of it is taken for this one's.

    Other files stay; what cannot be removed is written over, or found to be in the way then.
    """
    drawn = [path for pattern in _DRAWN for path in folder.glob(pattern) if _is_own(path)]
    left = [path for place in ("", "figures", "audio") for path in remains(folder / place)]
    for path in [*drawn, *left, *_clips(folder / "audio"), *(folder / name for name in (TABLE, SUMMARY, FAILED))]:
        with suppress(OSError):
            path.unlink()
    for name in ("figures", "audio"):
        with suppress(OSError):
            (folder / name).rmdir()  # if it is empty


def remove_new(folder: Path) -> None:
    """Remove the output folder of a run that could not begin, if it holds nothing but Hydra's own files.

    So are the folders around it within the working directory, where they are empty then.
    """
    own = {*(folder / ".hydra").glob("*.yaml"), *folder.glob("*.log"), folder / ".hydra"}
    here, folder = Path.cwd(), folder.absolute()
    if set(folder.rglob("*")) <= {path.absolute() for path in own} and folder != here:
        with suppress(OSError):
            shutil.rmtree(folder)
            for around in folder.parents:
                if here not in around.parents:
                    break
                around.rmdir()  # until one is not empty


def _is_own(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _SIGN in file.read(4096)
    except OSError:
        return False


def _clips(folder: Path) -> list[Path]:
    """The sounds that an index lists, and the index."""
    try:
        with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
            names = [line.get("file") or "" for line in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return []
    return [folder / name for name in [*names, "index.csv"] if Path(name).name == name]


def record_failure(folder: Path, reason: str) -> Failed:
    """Write the reason to `FAILED` in the job's folder (if that can be written at all)."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILED).write_text(reason + "\n")
    return Failed(folder, reason)
