"""From the command to its first pass: seconds until the bar counts its first clip, and the imports' share.

The command runs in a terminal of its own, whose output is watched; the bar counts a clip when some steps of the first
pass are done, so a fraction of the first pass is in the time.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

from mech_music.base.errors import UserError
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.children import environment, python
from mech_music.benchmarks.measure import Side, alternate
from mech_music.benchmarks.table import Line, compare

IMPORTS = (
    "import mech_music.run, mech_music.cli.job, mech_music.models.musicgen.build, mech_music.models.musicgen.model"
)
_COUNTED = re.compile(r"clips[^\n]*?\b[1-9]\d*/\d+\b")
_PATIENCE = 300.0


def run(bench: Bench) -> Iterator[Line]:
    """The default command on tiny, its store empty each time; and the imports it needs, alone."""
    sides = [
        Side("imports alone", lambda _: python(["-c", IMPORTS], bench.scratch)),
        Side("to the first pass", lambda number: _first_pass(bench, number)),
    ]
    imports, whole = alternate(sides, bench.config.rounds)
    note = f"imports are {100 * median(a / b for a, b in zip(imports.seconds, whole.seconds, strict=True)):.0f} %"
    yield compare("startup", "tiny, `python -m mech_music.run`", imports, whole, unit="s", note=note)


def _first_pass(bench: Bench, number: int) -> None:
    """Start the command and wait until its bar has counted a clip; then stop it."""
    words = [
        "logger=none", f"engine.device={bench.device}", f"engine.store={bench.scratch / f'startup-{number}'}",
        f"hydra.run.dir={bench.scratch / f'started-{number}'}",
    ]  # fmt: skip
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "mech_music.run", *words]
    env = {**environment(bench.scratch), "TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen(
        command, cwd=bench.scratch, env=env, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    try:
        _wait_for_clip(ours)
    finally:
        _stop(child)
        os.close(ours)


def _wait_for_clip(terminal: int) -> None:
    shown, start = "", time.monotonic()
    while (left := start + _PATIENCE - time.monotonic()) > 0:
        if not select.select([terminal], [], [], left)[0]:
            break
        try:
            shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(terminal, 4096).decode(errors="replace"))
        except OSError:  # the command has ended
            break
        if _COUNTED.search(shown):
            return
    last = (shown.split("\n") or [""])[-1].strip()
    raise UserError(f"`python -m mech_music.run` showed no first clip, last of all: {last}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    """The command and the processes it started (they have a session of their own)."""
    for kind in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(child.pid, kind)
            child.wait(timeout=10)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
