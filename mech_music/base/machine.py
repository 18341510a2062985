"""What this process may take of the machine: cores and memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
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


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: of the machine, and of its control groups (Slurm, containers); Linux.

    ``root``: where ``/proc`` and the control groups' file systems are.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    left = [left for group in _control_groups(root) if (left := _left_in(group)) is not None]
    return max(0, min([free, *left]))


def _control_groups(root: Path) -> Iterator[Path]:
    """The folders of the groups that limit this process' memory: its own and those around it, of either version."""
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
        mounts = [line.split(" - ") for line in (root / "proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return
    own = {name: path for _, names, path in groups for name in names.split(",")}  # version 2 has no name
    for place, kind in mounts:
        base, point = place.split()[3:5]
        system, _, options = kind.split(" ", 2)
        name = {"cgroup2": "", "cgroup": "memory"}.get(system)
        if name in own and (name == "" or name in options.split(",")):
            top, path = root / point.lstrip("/"), Path(own[name])
            # In a container the mount may begin at the group itself, or the group lie outside of what is mounted.
            seen = path.is_relative_to(base) and ".." not in path.parts
            inner = top / path.relative_to(base) if seen else top
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def _left_in(group: Path) -> int | None:
    """Bytes below the group's limit, None without one. File contents that the kernel would drop are not in use."""
    for limit, used, droppable in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, taken = ((group / name).read_text() for name in (limit, used))
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return int(most) - int(taken) + int(counts.get(droppable, 0))
        except (OSError, ValueError):  # the other version's names; or "max"
            continue
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a pass was too large (nnsight raises its own kinds around torch's)."""
    torch = sys.modules.get("torch")
    own = (MemoryError,) if torch is None else (MemoryError, torch.OutOfMemoryError)
    text = f"{type(error).__name__} {error}"
    return isinstance(error, own) or any(
        sign in text for sign in ("OutOfMemoryError", "CUDA out of memory", "can't allocate memory")
    )
