"""What features cost: a direction added at one layer, and an SAE spliced in there, against no edit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, alternate
from mech_music.benchmarks.models import duration
from mech_music.benchmarks.ours import edited_tokens, load_ours
from mech_music.benchmarks.table import Line, compare
from mech_music.edits.row import Edit, Half, Row, Term
from mech_music.edits.schedule import Course, Schedule, Scheduled
from mech_music.edits.splice import Change, How, Splice
from mech_music.models.hooks import Hook
from mech_music.saes.named import SaeFile
from mech_music.saes.sae import Activation, Sae

_FILE = SaeFile("0" * 64, "made up")
_CHANGED = 8  # features


def run(bench: Bench) -> Iterator[Line]:
    """On tiny, at its middle layer, in the conditional half; the SAE's weights are random, which costs the same."""
    sizes = bench.config.saes
    ours = load_ours(bench.tiny, bench.device)
    model = ours.model
    sae, hook = _made(model.d_model, sizes.width, sizes.k, bench.device), Hook(model.n_layers // 2, "resid_post").name
    mean = made.random_means(model.n_steps(duration(sizes.tiny_frames)), model.d_model)
    plain = [Row(made.prompts(1)[0], seed) for seed in range(sizes.tiny_rows)]

    def side(name: str, *edits: Any) -> Side:
        rows = [replace(row, edits=edits) for row in plain]

        def once(_: int) -> Tensor:
            return edited_tokens(model, rows, mean, sizes.tiny_frames, lambda *_: sae)

        return Side(f"{name}, {ours.name}", once, len(rows), ours.threads)

    direction = Edit(hook, 1.0, (Term(1.0, made.DESIRED),), half=Half.cond)
    changes = tuple(Change(feature, How.set, 0.01) for feature in range(_CHANGED))
    splice = Splice(hook, _FILE, changes, half=Half.cond)
    early = Scheduled(splice, Schedule(Course.first, 0.5))
    # One thread's own seconds: other work on the machine is not in them.
    on_cpu = bench.device.type == "cpu" and ours.threads == 1
    unedited, *edited = alternate(
        [
            side("no edit"),
            side("a direction", direction),
            side(f"a splice of {_CHANGED} features", splice),
            side("the same in the first half of the clip", early),
        ],
        bench.config.rounds,
        time.process_time if on_cpu else time.perf_counter,
    )
    what = f"tiny, {len(plain)} rows, {sizes.tiny_frames} frames, {sizes.width} features, k {sizes.k}"
    for timing in edited:
        yield compare("saes", what, timing, unedited, note="CPU seconds" if on_cpu else "")


def _made(d_model: int, width: int, k: int, device: torch.device) -> Sae:
    draw = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(width, d_model, generator=draw), dim=1)
    parts = directions.T.contiguous(), torch.zeros(width), directions, torch.zeros(d_model)
    return Sae(*parts, Activation.topk, k).to(device)
