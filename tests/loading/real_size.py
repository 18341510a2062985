"""Loads a checkpoint in a process of its own and prints, as JSON, what it took of memory: run by `test_real_size`."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mech_music.base.quiet import quiet_imports
from mech_music.models.musicgen.loading import FILES, load_model
from mech_music.models.musicgen.published import Published

with quiet_imports():
    from mech_music.models.musicgen.build import build, fill, outline


def status(key: str) -> int:
    """Bytes that Linux counts for this process: VmRSS now, VmHWM at its highest since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def peak_of(load: Callable[[], nn.Module]) -> tuple[int, float, nn.Module]:
    """Peak over what the process had before, seconds, and what was loaded."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, start = status("VmRSS"), time.perf_counter()
    loaded = load()
    return status("VmHWM") - before, time.perf_counter() - start, loaded


def size(*modules: nn.Module) -> int:
    """Bytes of weights; what is shared counts once."""
    return sum({p.data_ptr(): p.numel() * p.element_size() for m in modules for p in m.state_dict().values()}.values())


def language_model(folder: Path, dtype: str) -> nn.Module:
    """The language model alone: text encoder and codec are mapped files, whose memory comes with their first use."""
    file = Published.open(folder / FILES[0])
    own = {name: shape for name, shape in file.shapes.items() if not name.startswith("condition_provider")}
    config = file.config
    config.dtype = dtype
    lm = outline(config).to(torch.bfloat16 if dtype == "bfloat16" else None)
    fill(lm, Published(file.path, {**file.content, "best_state": own}), torch.device("cpu"))
    return lm


def whole(folder: Path, dtype: str) -> nn.Module:
    """Everything, with the self-check; float16, which cannot run on the CPU, is built only."""
    place = torch.device("cpu")
    musicgen = (
        build(folder, place, dtype) if dtype == "float16" else load_model(str(folder), None, "cpu", dtype).musicgen
    )
    conditioner: Any = musicgen.lm.condition_provider.conditioners["description"]
    return nn.ModuleList([musicgen.lm, musicgen.compression_model, conditioner.t5])


def measure(folder: Path, dtype: str) -> dict[str, float]:
    """Both, after every library was imported and used (by loading the bundled model)."""
    load_model(device="cpu")
    lm_peak, _, lm = peak_of(lambda: language_model(folder, dtype))
    lm_weights = size(lm)
    del lm
    peak, seconds, everything = peak_of(lambda: whole(folder, dtype))
    return {"lm_peak": lm_peak, "lm_weights": lm_weights, "peak": peak, "weights": size(everything), "seconds": seconds}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]), sys.argv[2])) + "\n")
