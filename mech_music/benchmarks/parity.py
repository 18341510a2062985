"""Whether a row's clip depends on the company that it is made in, and on the way of decoding; and whether it is made.

In float32 on a CPU it does not (tests hold that bit for bit). On a GPU, and in 16 bits, sums depend on how many rows a
product has, and a token that is drawn within rounding of another one's may change; what follows it then differs. So the
share of equal tokens is measured, and of rows that are wholly equal.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import paired_ratio
from mech_music.benchmarks.models import Subject, duration
from mech_music.benchmarks.table import Line
from mech_music.models.musicgen.loading import load_model
from mech_music.models.musicgen.model import HookedMusicGen

Tokens = Int[Tensor, "row codebook frame"]
_FAILED = -1  # in the place of every token of a row whose logits were not finite


def run(bench: Bench) -> Iterator[Line]:
    """tiny and the random model in every number format that the device has."""
    sizes = bench.config.parity
    for dtype in bench.dtypes:
        for subject, frames in ((bench.tiny, sizes.tiny_frames), (bench.random, bench.frames(sizes.random_frames))):
            yield from _lines(subject, load_model(str(subject.folder), None, str(bench.device), dtype), frames, bench)


def _lines(subject: Subject, model: HookedMusicGen, frames: int, bench: Bench) -> Iterator[Line]:
    prompts, n = [made.prompts(1)[0]] * bench.config.parity.rows, bench.config.parity.rows
    seeds, seconds = list(range(n)), duration(frames)
    packed = model.generate(prompts, seeds, duration=seconds)
    alone = torch.cat([model.generate(prompts[:1], [seed], duration=seconds) for seed in seeds])
    static = model.generate_static(prompts, {}, seeds=seeds, duration=seconds)
    what = f"{subject.name}, {n} rows, {frames} frames, {str(model.dtype).removeprefix('torch.')}"
    for (name, first), (other, second) in (
        (("in one pass", packed), ("alone", alone)),
        (("static", static), ("traced", packed)),
    ):
        yield _line(what, (name, first), (other, second))


def _line(what: str, first: tuple[str, Tokens], second: tuple[str, Tokens]) -> Line:
    """A row that fails in both ways agrees, and is counted in the note."""
    equal = (first[1] == second[1]).float()
    rows = int(equal.flatten(1).all(1).sum())
    failed = max(int((tokens == _FAILED).flatten(1).any(1).sum()) for tokens in (first[1], second[1]))
    values = (100 * float(equal.mean()),), (100.0,)
    note = f"{rows} of {len(equal)} rows wholly equal; {failed} not finite"
    return Line(
        "parity", what, first[0], f"{second[0]} (all equal: 100)", "% equal", paired_ratio(*values), values, note
    )
