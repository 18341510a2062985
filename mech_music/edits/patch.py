"""Activation patching: a clip runs on with another clip's own activations, step by step.

Meng et al., "Locating and Editing Factual Associations in GPT" (NeurIPS 2022), trace causes so, between two prompts
that differ in a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mech_music.base.errors import UserError
from mech_music.edits.content import stored
from mech_music.edits.protocol import Batch, Edits, Entry, Take, Targets, compiles
from mech_music.edits.row import Half, Row
from mech_music.models.hooks import Hook, Layout

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@stored
@dataclass(frozen=True)
class Patch:
    """``out'[step, half] = out of row [step, half]`` at one hook: the same step, the same guidance half.

    ``row``: the clip that activations come from, with its own seed, edits and prefix (but no exit). ``frames``,
    ``half``, ``heads``: as in `Edit`.
    """

    hook: str
    row: Row
    frames: tuple[int, int] | None = None
    half: Half = Half.both
    heads: tuple[int, ...] | None = None


@dataclass
class Patched:
    """``value[index] ← bank[step][choice]`` at the entries that are active."""

    targets: Targets
    choice: Int[Tensor, " entry"]
    bank: Sequence[Float[Tensor, "source position width"]]

    def __call__(self, step: int, value: Float[Tensor, "half_row position width"]) -> Tensor:
        """The patched value; all other entries are untouched bit for bit."""
        active = self.targets.active(step)
        if active is not None and not len(active):
            return value
        chosen = slice(None) if active is None else active
        patched = value.clone()
        patched[self.targets.index[chosen]] = self.bank[step][self.choice[chosen]]
        return patched


@compiles(Patch)
def compile_patch(hook: Hook, edits: Edits, batch: Batch, take: Take) -> Patched:
    """The sources' activations, each kept once. UserError for a source whose values have another shape."""
    import torch

    entries = batch.entries(edits)
    for position, edit in edits:
        _must_fit(hook, edit, batch.rows[position], batch)
    sources = list(dict.fromkeys((entry.edit.row, entry.half) for entry in entries))
    values = [batch.recorded[row, hook] for row, _ in sources]
    bank = [
        torch.stack([take(of_row[step][half]) for of_row, (_, half) in zip(values, sources, strict=True)])
        for step in range(batch.n_steps)
    ]
    choice = torch.tensor([sources.index(_source(entry)) for entry in entries], device=batch.model.device)
    return Patched(batch.targets(entries), choice, bank)


def _source(entry: Entry) -> tuple[Row, int]:
    return entry.edit.row, entry.half


def _must_fit(hook: Hook, edit: Patch, row: Row, batch: Batch) -> None:
    """UserError unless the source's values at the hook have the shape of the row's own."""
    if edit.row.exit is not None:
        raise UserError(
            f"patch of '{edit.hook}': its row has an exit; activations come from a whole clip: leave it out"
        )
    group_of = batch.model.group_of
    if group_of(edit.row.prompt) != group_of(row.prompt) and _spans_text(hook, batch.recorded[edit.row, hook][0]):
        raise UserError(
            f"patch of '{edit.hook}': '{edit.row.prompt}' and '{row.prompt}' have different numbers of text "
            "tokens, so values of one do not fit the other: take prompts of equal length, or patch another hook"
        )


def _spans_text(hook: Hook, first: Float[Tensor, "half position width"]) -> bool:
    """Whether a value grows with the text. A pattern of self-attention does where the text stands before the music:
    the first step then has more than one key."""
    return (
        hook.layout is Layout.text
        or hook.point == "cross_attn.pattern"
        or (hook.layout is Layout.pattern and first.shape[-1] > 1)
    )
