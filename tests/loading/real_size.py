"""Loads a checkpoint in a process of its own and prints, as JSON, what it took of memory: run by `test_real_size`."""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from mech_music.loading import load_model
from mech_music.quiet import quiet_imports

with quiet_imports():
    from mech_music.loading.build import build


def status(key: str) -> int:
    """Bytes that Linux counts for this process: VmRSS now, VmHWM at its highest since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def measure(folder: str, dtype: str) -> dict[str, float]:
    """Peak over what the process had once every library was imported and used (by loading the bundled model)."""
    load_model(device="cpu")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, start = status("VmRSS"), time.perf_counter()
    if dtype == "float16":  # as for a GPU; it cannot run here
        musicgen = build(Path(folder), torch.device("cpu"), dtype)
    else:
        musicgen = load_model(folder, device="cpu", dtype=dtype).musicgen
    seconds, peak = time.perf_counter() - start, status("VmHWM") - before
    t5: Any = musicgen.lm.condition_provider.conditioners["description"]
    modules = (musicgen.lm, musicgen.compression_model, t5.t5)
    parts = {p.data_ptr(): p.numel() * p.element_size() for m in modules for p in m.state_dict().values()}
    return {"seconds": seconds, "peak": peak, "weights": sum(parts.values())}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(*sys.argv[1:])) + "\n")
