"""What the machine has: versions, processors, memory, disks, caches. Nothing is asked of the network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from platform import python_version

import torch

from mech_music.base.machine import free_memory, n_cores
from mech_music.base.paths import user_path
from mech_music.base.versions import installed_versions
from mech_music.config.paths import default_store_dir, options
from mech_music.doctor.parts import caches, listener_part
from mech_music.models.musicgen.footprint import gigabytes
from mech_music.store import upkeep

_PACKAGES = ("torch", "audiocraft", "nnsight", "transformers", "hear21passt", "wandb")
Line = tuple[str, str]


def short(path: Path) -> str:
    """A path for people, the home folder as ``~``."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def versions() -> Iterator[Line]:
    """Python and the packages that a result depends on."""
    yield "python", python_version()
    yield from installed_versions(_PACKAGES)


def hardware() -> Iterator[Line]:
    """GPUs with their memory, cores, free memory."""
    cuda = torch.version.cuda or "none"
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            yield f"GPU {index}", f"{name}, {gigabytes(free)} free of {gigabytes(total)} (CUDA {cuda})"
    else:
        yield "GPU", f"none found (torch is built for CUDA {cuda})"
    yield "CPU cores", f"{n_cores()} of {os.cpu_count()} for this process"
    free = free_memory()
    yield "memory", "unknown" if free is None else f"{gigabytes(free)} free"


def places(store: str | None) -> Iterator[Line]:
    """The row store and the caches: where, what is in them, and the room on their disks."""
    folder = user_path(store) if store else default_store_dir()
    yield "row store", f"{short(folder)}: {_stored(folder)}{_room(folder)}"
    for cache in caches():
        yield "hub cache", f"{short(cache)}: {_repositories(cache)}{_room(cache)}"
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    files = [path for path in checkpoints.glob("*") if path.is_file()]
    size = gigabytes(sum(path.stat().st_size for path in files))
    held = f"{len(files)} files, {size}" if files else "empty"
    yield "torch.hub", f"{short(checkpoints)}: {held}{_room(checkpoints)}"


def classifiers() -> Line:
    """Which classifiers have their weights here."""
    names = options("classifier")
    return "classifiers", ", ".join(
        f"{name} {'missing' if listener_part(name).missing() else 'here'}" for name in names
    )


def login() -> Line:
    """Whether there is a W&B login; the account itself is not asked."""
    from mech_music.tracking.wandb import logged_in

    return "W&B", "logged in" if logged_in() else "no login: offline runs need none (`wandb login`)"


def _room(folder: Path) -> str:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return f"; {gigabytes(shutil.disk_usage(there).free)} of disk free"


def _stored(folder: Path) -> str:
    if not all((folder / part).is_dir() for part in upkeep.PARTS):
        return "empty"
    holdings = upkeep.survey(folder)
    rows = sum(holding.items for holding in holdings if holding.what == "clips")
    return f"{rows:,} clips, {sum(holding.size for holding in holdings) / 1e6:,.1f} MB"


def _repositories(cache: Path) -> str:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(cache)
    except (CacheNotFound, ValueError):
        return "empty"
    return f"{len(found.repos)} repositories, {gigabytes(found.size_on_disk)}" if found.repos else "empty"
