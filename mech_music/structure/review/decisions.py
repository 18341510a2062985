"""What a reviewer decided, saved at once: a line each at the end of a file of their own, which nothing rewrites."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from mech_music.base.errors import UserError, unknown

FOLDER = "decisions"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_UNDONE = "undone"


class Decision(StrEnum):
    """What a pair is, to somebody who listened."""

    positive = "positive"
    negative = "negative"
    ambiguous = "ambiguous"
    rejected = "rejected"


def file_of(folder: Path, reviewer: str) -> Path:
    """Where a reviewer's decisions are. UserError for a name that is no file's."""
    if not _NAME.fullmatch(reviewer):
        raise UserError(f"reviewer '{reviewer}': expected letters, digits, - and _, at most 41")
    return folder / FOLDER / f"{reviewer}.jsonl"


def reviewers(folder: Path) -> list[str]:
    """Who decided something."""
    return sorted(path.stem for path in (folder / FOLDER).glob("*.jsonl"))


def append(folder: Path, reviewer: str, pair: str, decision: Decision | None, seconds: float = 0.0) -> None:
    """Write a decision (None: what was decided of the pair is undone) and wait until the disk has it.

    ``seconds``: how long it took. One write at the file's end: a line is there whole, or it is no line. UserError if
    the file cannot be written.
    """
    path = file_of(folder, reviewer)
    said = _UNDONE if decision is None else decision.value
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"pair": pair, "decision": said, "at": now, "seconds": round(seconds, 1)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            whole = file.tell() == 0 or _last_byte(path) == b"\n"
            os.write(file.fileno(), (line if whole else f"\n{line}").encode() + b"\n")
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from None


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)


def read_decisions(folder: Path, reviewer: str) -> dict[str, Decision]:
    """The last decision of each pair, in the order in which they were made. A line that a kill cut short is none.

    UserError for a decision that is none.
    """
    path = file_of(folder, reviewer)
    found: dict[str, Decision] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            written = json.loads(line)
            pair, said = str(written["pair"]), written["decision"]
            found.pop(pair, None)
            if said == _UNDONE:
                continue
            if said not in list(Decision):
                raise UserError(f"'{path}': {unknown('decision', str(said), list(Decision))}")
            found[pair] = Decision(said)
    return found
