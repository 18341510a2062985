"""The activations of a harvest's clips, on disk: shards in the store that are written once and resume."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mech_music.activations.recipes import Making
from mech_music.activations.shards import MANIFEST, is_whole, save_stream
from mech_music.activations.streams import stream
from mech_music.base.workers import Advance
from mech_music.edits.content import canonical
from mech_music.saes.named import Harvest
from mech_music.saes.progress import progress

if TYPE_CHECKING:
    from mech_music.engine.passes import PassRunner

log = logging.getLogger(__name__)
_CHUNK = 2**28  # bytes of a chunk in memory
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}


def gather(harvest: Harvest, hooks: Sequence[str], making: Making) -> Path:
    """The folder with the activations of both halves at hooks, written if it is not there; what was killed goes on.

    Its shards hold all of ``hooks``, perhaps more.
    """
    passes = making.passes
    place = passes.store.place / "streams" / _key(harvest, passes)
    for manifest in sorted(place.glob(f"*/{MANIFEST}")):
        if is_whole(manifest.parent) and set(hooks) <= set(json.loads(manifest.read_text())["hooks"]):
            return manifest.parent
    folder = place / hashlib.sha256(json.dumps(sorted(hooks)).encode()).hexdigest()[:16]
    found = stream(
        passes.model,
        list(hooks),
        harvest.rows,
        sampling=passes.settings.sampling,
        duration=passes.settings.duration,
        budget=_CHUNK,
    )
    values = harvest.n_clips * passes.n_steps * passes.model.halves * passes.model.d_model * len(hooks)
    log.info(
        "activations of %d clips at %s: %.2f GB in %s",
        harvest.n_clips,
        ", ".join(hooks),
        values * _BYTES[harvest.dtype] / 1e9,
        folder,
    )
    write = partial(save_stream, found, folder, passes.source.weights, harvest.dtype)
    write(numbers=())  # the manifest
    with progress("clips read", harvest.n_clips, making.quiet) as show:
        each = harvest.n_clips / len(found)
        making.spread(partial(_write, write), range(len(found)), lambda amount: show(amount * each))
    return folder


def _write(write: Callable[..., int], number: int, advance: Advance) -> None:
    write(numbers=(number,))
    advance(1)


def _key(harvest: Harvest, passes: PassRunner) -> str:
    """Of everything that decides the clips."""
    return hashlib.sha256(json.dumps([passes.generation, canonical(harvest)]).encode()).hexdigest()
