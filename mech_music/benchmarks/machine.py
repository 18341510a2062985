"""What was measured, and on what: the header of the table."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime
from pathlib import Path

import torch

import mech_music


def describe(device: torch.device, plain_threads: int) -> dict[str, str]:
    """Date, processor, GPU, cores, torch's version, threads, and the commit."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none used"
    return {
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "CPU": _cpu(),
        "cores": str(os.cpu_count()),
        "GPU": gpu,
        "torch": torch.__version__,
        "threads": f"plain sides {plain_threads}; ours as named in each line (OMP_WAIT_POLICY=passive for both)",
        "commit": _commit(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of this checkout (marked if files differ from it), or the version of an installed package."""
    try:
        commit, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return f"version {mech_music.__version__}"
    return f"{commit} with changes" if changed else commit


def _git(*words: str) -> str:
    folder = str(Path(mech_music.__file__).parent)
    return subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True).stdout.strip()
