"""``task=sae`` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_sae(folder: Path, store: Path, *words: str) -> Path:
    """The job's folder."""
    command = [sys.executable, "-m", "mech_music.run", "task=sae", f"hydra.run.dir={folder}", "logger=none", *words]
    environment = {**os.environ, "MECH_MUSIC_STORE": str(store), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "engine.workers=1"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "said.txt").write_text(done.stdout + done.stderr)
    return folder
