"""One generation that is looked at: what means, similarities, lenses, patches and streams have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Unpack

from jaxtyping import Float, Int
from torch import Tensor

from mech_music.edits.prefix import given_tokens
from mech_music.edits.row import Row
from mech_music.models.hooks import Hook
from mech_music.models.protocol import DURATION, MIN_PASS, Generation, Visit

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

Consumer = Callable[[Hook, int, Float[Tensor, "row half position width"]], None]
"""``see(hook, step, value)``: a view of the model's own memory, to be copied by who keeps it."""
Edits = Callable[[Sequence[Row]], tuple[Sequence[Hook], Visit]]
"""The compiled edits of a pass: the hooks where they act, and what they do there."""


def plain(_rows: Sequence[Row]) -> tuple[Sequence[Hook], Visit]:
    """No edits."""
    return (), lambda _hook, _step, _value: None


def padded(rows: Sequence[Row]) -> list[Row]:
    """A pass of at least `MIN_PASS` rows; what is added is thrown away afterwards."""
    return [*rows, *[Row(rows[-1].prompt, rows[-1].seed)] * padding(len(rows))]


def padding(n_rows: int) -> int:
    """Rows that a pass lacks."""
    return max(0, MIN_PASS - n_rows)


def observe(
    generator: Generator,
    rows: Sequence[Row],
    hooks: Sequence[Hook],
    see: Consumer,
    edits: Edits = plain,
    **how: Unpack[Generation],
) -> Int[Tensor, "row codebook frame"]:
    """Generate one pass (of rows that may share one) and show what every hook has at every step, after its edits.

    ``how``: as in `Generator.visit`; the rows bring their seeds and prefixes themselves.
    """
    whole = padded(rows)
    edited, edit = edits(whole)
    look = watching(see, len(rows), generator.halves)

    def visit(hook: Hook, step: int, value: Tensor) -> Tensor | None:
        out = edit(hook, step, value) if hook in edited else None
        if hook in hooks:
            look(hook, step, value if out is None else out)
        return out

    n_frames = generator.n_frames(how.get("duration", DURATION))
    own: Generation = {"seeds": [row.seed for row in whole], "prefix": given_tokens(whole, generator, n_frames)}
    visited = sorted({*edited, *hooks})
    return generator.visit([row.prompt for row in whole], visited, visit, **(how | own))[: len(rows)]


def watching(see: Consumer, n_rows: int, halves: int) -> Visit:
    """A visitor that shows the first ``n_rows`` rows (the rest is padding), each with its guidance halves."""

    def visit(hook: Hook, step: int, value: Float[Tensor, "half_row position width"]) -> None:
        see(hook, step, value.unflatten(0, (halves, -1)).transpose(0, 1)[:n_rows])

    return visit
