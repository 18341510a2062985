"""Child processes: what a user would start, watched from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mech_music.base.errors import UserError
from mech_music.config.paths import conf_dir


def environment(scratch: Path) -> dict[str, str]:
    """This process' environment, with this checkout importable and the default store out of reach."""
    path = os.pathsep.join([str(conf_dir().parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, "MECH_MUSIC_STORE": str(scratch / "unused store")}


def python(words: Sequence[str], scratch: Path) -> str:
    """What ``python <words>`` prints, run in ``scratch``. UserError with its last line if it fails."""
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=scratch, env=environment(scratch), capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()[-1]
        raise UserError(f"`python {' '.join(words)}` failed with status {done.returncode}: {last}")
    return done.stdout
