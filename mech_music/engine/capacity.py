"""How many rows fit in a pass, and how many clips are heard at once."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

from mech_music.base.errors import UserError
from mech_music.base.machine import free_on
from mech_music.models.musicgen.footprint import SHARE, gigabytes
from mech_music.models.protocol import MIN_PASS

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

log = logging.getLogger(__name__)
_CPU_PASS = 128  # twice as many are 4 % faster on tiny and take twice the memory (benchmark "limit")
_PROBES = (8, 24)
# Samples decoded at once: on a CPU four of tiny's clips, the fastest there; a GPU's number is a guess.
_SAMPLES_AT_ONCE = {"cpu": 2**18, "cuda": 2**22}


class _Enough(Exception):
    """Ends a probe after a few steps."""


class Capacity:
    """Rows of a pass; halved for good whenever a pass did not fit.

    Args:
        wanted: rows that the user asks for; 0 for as many as are useful and fit.
        n_workers: processes that make passes at the same time.
    """

    def __init__(self, model: Generator, duration: float, wanted: int, n_workers: int) -> None:
        self.rows = wanted or _automatic(model, duration, n_workers)

    def halve(self, rows: int) -> bool:
        """After a pass of ``rows`` did not fit; False if less is not possible."""
        if rows <= MIN_PASS:
            return False
        self.rows = max(MIN_PASS, rows // 2)
        log.warning("out of memory with %d rows in a pass: going on with %d", rows, self.rows)
        return True


def _automatic(model: Generator, duration: float, n_workers: int) -> int:
    on_cpu, free = model.device.type != "cuda", free_on(model.device)
    if free is None:
        return _CPU_PASS
    free -= model.pending_bytes()
    if (least := MIN_PASS * model.row_bytes(duration)) > free / n_workers:
        raise UserError(
            f"a pass of {MIN_PASS} rows, the smallest, needs {gigabytes(least)} for its keys and values, but "
            f"{model.device} has {gigabytes(free / n_workers)} of memory free: use a shorter duration, a smaller "
            "model, or free memory"
        )
    each = model.row_bytes(duration) if on_cpu else probed_row_bytes(model, duration)
    fitting = max(MIN_PASS, int(SHARE * free / n_workers / each))
    return min(_CPU_PASS, fitting) if on_cpu else fitting


def probed_row_bytes(model: Generator, duration: float) -> float:
    """Measured: how much more two steps of a larger pass take (caches have their full length from the first step)."""
    few, many = (_peak(model, duration, rows) for rows in _PROBES)
    return max(model.row_bytes(duration), (many - few) / (_PROBES[1] - _PROBES[0]))


def _peak(model: Generator, duration: float, rows: int) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(model.device)

    def stop(step: int) -> None:
        if step == 1:
            raise _Enough

    with suppress(_Enough):
        prompts, seeds = [model.probe_prompt] * rows, list(range(rows))
        model.visit(prompts, (), lambda *_: None, seeds=seeds, duration=duration, on_step=stop)
    return torch.cuda.max_memory_allocated(model.device)


def clips_at_once(n_samples: int, device: torch.device) -> int:
    """Clips of ``n_samples`` to decode and classify together.

    A function of these two alone: the last bits of a convolution depend on how many clips it is given.
    """
    return max(1, _SAMPLES_AT_ONCE.get(device.type, 2**18) // n_samples)
