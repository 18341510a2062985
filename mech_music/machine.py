"""What this process may take of the machine: cores and memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def n_cores() -> int:
    """Cores that this process may use (a Slurm job may have few of many)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_on(device: torch.device) -> int | None:
    """Bytes that can still be taken on a device; None where nobody says."""
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()


def free_memory() -> int | None:
    """Bytes that this process may still take: of the machine, or of its control group (Slurm, containers); Linux."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        return free if limit == "max" else min(free, int(limit) - int(used))
    except (OSError, ValueError):
        return free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a pass was too large (nnsight raises its own kinds around torch's)."""
    torch = sys.modules.get("torch")
    own = (MemoryError,) if torch is None else (MemoryError, torch.OutOfMemoryError)
    text = f"{type(error).__name__} {error}"
    return isinstance(error, own) or any(
        sign in text for sign in ("OutOfMemoryError", "CUDA out of memory", "can't allocate memory")
    )
