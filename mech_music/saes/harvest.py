"""The activations of a harvest's clips: shards in the store that are written once and resume, or nothing on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mech_music.activations.observe import observe
from mech_music.activations.recipes import Making
from mech_music.activations.shards import MANIFEST, Activations, Anew, OnDisk, is_whole, save_stream
from mech_music.activations.streams import Stream, stream
from mech_music.base.errors import UserError
from mech_music.base.workers import Advance
from mech_music.edits.content import canonical
from mech_music.edits.excerpt import Excerpt
from mech_music.edits.row import Half
from mech_music.saes.named import Corpus, Harvest
from mech_music.saes.progress import progress

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

log = logging.getLogger(__name__)
_CHUNK = 2**28  # bytes of a chunk in memory
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
_TIMED_FRAMES = 8  # of a pass, to tell how long all will take


def gather(harvest: Harvest | Corpus, hooks: Sequence[str], making: Making) -> Activations:
    """The activations of both halves at hooks (of one where they are equal: a corpus without prompts), written if they
    are not there; what was killed goes on. The shards hold all of ``hooks``, perhaps more.

    Where activations are not kept (``engine.keep_activations=false``) and not there, they are made whenever they are
    read. UserError if the disk has no room for them, or no clip is left.
    """
    passes = making.passes
    place = passes.store.place / "streams" / _key(harvest, passes)
    for manifest in sorted(place.glob(f"*/{MANIFEST}")):
        if is_whole(manifest.parent) and set(hooks) <= set(json.loads(manifest.read_text())["hooks"]):
            return OnDisk(manifest.parent)
    folder = place / hashlib.sha256(json.dumps(sorted(hooks)).encode()).hexdigest()[:16]
    found = stream(
        passes.model,
        list(hooks),
        harvest.rows,
        Half.uncond if _one_half(harvest, passes) else Half.both,
        sampling=passes.settings.sampling,
        duration=passes.settings.duration,
        budget=_CHUNK,
    )
    if not passes.keep_activations:
        _say("made whenever they are read, each time about", len(found), harvest, hooks, found, making)
        return Anew(found, harvest.dtype)
    write = partial(save_stream, found, folder, passes.source.weights, harvest.dtype)
    write(numbers=())  # the manifest
    _tell(harvest, hooks, folder, found, making)
    with progress("clips read", harvest.n_clips, making.quiet) as show:
        each = harvest.n_clips / len(found)
        making.spread(partial(_write, write), range(len(found)), lambda amount: show(amount * each))
    return OnDisk(folder)


def n_bytes(harvest: Harvest | Corpus, n_hooks: int, passes: PassRunner) -> int:
    """What its activations take on disk, but for a few hundred bytes of names in each shard."""
    halves = 1 if _one_half(harvest, passes) else passes.model.halves
    vectors = harvest.n_clips * passes.n_steps * halves * n_hooks
    return vectors * passes.model.d_model * _BYTES[harvest.dtype]


def _one_half(harvest: Harvest | Corpus, passes: PassRunner) -> bool:
    return isinstance(harvest, Corpus) and harvest.one_half and passes.model.halves == 2


def _tell(harvest: Harvest | Corpus, hooks: Sequence[str], folder: Path, found: Stream, making: Making) -> None:
    """Size, place and time, before it starts. UserError if the disk is too small."""
    size = n_bytes(harvest, len(hooks), making.passes)
    there = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size - there > (free := shutil.disk_usage(folder).free):
        raise UserError(
            f"activations of {harvest.n_clips} clips at {len(hooks)} hooks take {_large(size)}, and {folder} has "
            f"{_large(free)} left: set engine.store to a larger disk, or read fewer clips (sae.clips)"
        )
    left = (size - there) / size * len(found) / making.n_workers
    _say(f"{_large(size)} in {folder}, about", left, harvest, hooks, found, making)


def _say(
    what: str, passes: float, harvest: Harvest | Corpus, hooks: Sequence[str], found: Stream, making: Making
) -> None:
    """What becomes of the activations, and the time of so many passes, which is tried where somebody reads it."""
    told = f"activations of {harvest.n_clips} clips at {', '.join(hooks)}: {what}"
    log.info("%s", told.rpartition(",")[0])
    if not making.quiet:
        seconds = passes * _seconds_of_a_pass(harvest, hooks, making, len(found))
        Console(stderr=True).print(f"{told} {_in_words(seconds)}", highlight=False, soft_wrap=True)


def _seconds_of_a_pass(harvest: Harvest | Corpus, hooks: Sequence[str], making: Making, n_passes: int) -> float:
    """By reading the first frames of one, and by encoding one clip of those that are given as sound."""
    passes, rows = making.passes, harvest.rows[: -(-harvest.n_clips // n_passes)]
    group = passes.model.group_of(rows[0].prompt)
    rows = [row for row in rows if passes.model.group_of(row.prompt) == group]
    duration = min(passes.settings.duration, (_TIMED_FRAMES + 0.5) / passes.model.frame_rate)
    chosen, encoding = passes.model.select_hooks(list(hooks)), 0.0
    if isinstance(first := rows[0].prefix, Excerpt):
        start = time.monotonic()
        first.tokens(passes.model, passes.model.n_frames(passes.settings.duration))
        encoding = (time.monotonic() - start) * len(rows)
    start = time.monotonic()
    observe(passes.model, rows, chosen, lambda *_: None, duration=duration, sampling=passes.settings.sampling)
    steps = (time.monotonic() - start) / passes.model.n_steps(duration)
    return encoding + steps * passes.n_steps * harvest.n_clips / n_passes / len(rows)


def _large(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _in_words(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


def _write(write: Callable[..., int], number: int, advance: Advance) -> None:
    write(numbers=(number,))
    advance(1)


def _key(harvest: Harvest | Corpus, passes: PassRunner) -> str:
    """Of everything that decides the clips."""
    return hashlib.sha256(json.dumps([passes.generation, canonical(harvest)]).encode()).hexdigest()
