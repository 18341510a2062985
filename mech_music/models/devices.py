"""Which device a model runs on, and in which number format."""

from __future__ import annotations

import torch

from mech_music.base.errors import UserError

_DTYPES = ("float32", "float16", "bfloat16")


def pick_device(name: str) -> torch.device:
    """``auto`` (the GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``. UserError if it is not there.

    ``auto`` never takes ``mps``: nobody has run it there yet.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"unknown device '{name}': expected auto, cpu, cuda, cuda:<number> or mps") from None
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= there.get(device.type, 0):
        count = there.get(device.type, 0)
        raise UserError(f"device '{name}' is not there ({count} found): use engine.device=auto or cpu")
    return device


def check_dtype(dtype: str, device: torch.device) -> None:
    """UserError for a number format that is none of ours, or that a device does not serve."""
    if dtype not in _DTYPES:
        raise UserError(f"unknown number format '{dtype}': expected {', '.join(_DTYPES)}")
    if dtype == "float16" and device.type == "cpu":
        raise UserError("model.dtype=float16 needs a GPU: use float32 or bfloat16 on the CPU")
