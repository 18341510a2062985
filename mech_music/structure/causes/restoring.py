"""Patching a return's source back: some heads keep what they had with the true earlier section.

Clean: a piece as it is. Corrupted: wherever the return's music was before, another piece's section of the same length
stands. The corrupted run reads the return with the clean run's z in some heads: how much of the return's likelihood is
restored says what these heads carry (denoising: Meng et al., NeurIPS 2022).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mech_music.activations.recipes import Making, register
from mech_music.activations.streams import BUDGET
from mech_music.edits.patch import Patch
from mech_music.edits.row import Prefix, Row
from mech_music.models.protocol import MIN_PASS
from mech_music.saes.progress import progress
from mech_music.structure.causes.ablation import needed, opened
from mech_music.structure.causes.candidates import by_layer, heads_of
from mech_music.structure.causes.conditions import Restored, Study
from mech_music.structure.causes.forced import MOST, Codes, filled, forced_nats
from mech_music.structure.causes.heads import Head
from mech_music.structure.causes.places import Steps, earlier_of, measured_frames, returns_of
from mech_music.structure.pieces.annotated import AnnotatedPiece

Record = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Swap:
    """The last return of a piece, and the piece's codes with another's music in the place of what returns."""

    number: int
    piece: AnnotatedPiece
    section: int
    codes: Int[np.ndarray, "codebook frame"]


def swapped(number: int, pieces: Sequence[AnnotatedPiece]) -> Swap | None:
    """The last return of a piece with every earlier section of its music replaced; None where no other track has
    sections of those lengths.

    Of the pieces that have, the one whose prompt shares the most words.
    """
    piece = pieces[number]
    if not (found := returns_of(piece)):
        return None
    last = found[-1]
    earlier = earlier_of(piece, last)
    lengths = {piece.sections[place].end - piece.sections[place].start for place in earlier}
    others = [
        (-len(_words(piece) & _words(other)), place, section.start)
        for place, other in enumerate(pieces)
        if other.track != piece.track and len(lengths) == 1
        for section in other.sections
        if section.end - section.start in lengths
    ]
    if not others:
        return None
    (length,), (_, place, start) = lengths, min(others)
    codes = piece.codes.copy()
    for one in earlier:
        first = piece.sections[one].start
        codes[:, first : first + length] = pieces[place].codes[:, start : start + length]
    return Swap(number, piece, last, codes)


def _words(piece: AnnotatedPiece) -> set[str]:
    return set(re.findall(r"[\w-]+", piece.prompt.lower()))


def patched(study: Study, heads: Sequence[Head], swap: Swap, steps: Steps) -> Row:
    """The row that is read along the swapped codes, with the clean run's z at the steps that draw the return.

    The clean run is given all frames but the last, which is its own: nothing is patched once that is read, and tokens
    that are drawn later are not counted (`_mean`).
    """
    window = _window(swap, steps)
    clean = filled(swap.piece.codes, steps.n_frames)[:, : steps.n_frames - 1]
    source = Row(swap.piece.prompt, 0, prefix=Prefix.of(clean.tolist()))
    return Row(
        swap.piece.prompt,
        0,
        tuple(Patch(hook.name, source, window, study.half, own) for hook, own in by_layer(heads)),
    )


def _window(swap: Swap, steps: Steps) -> tuple[int, int]:
    """The steps that draw the return, as far as the clean run goes."""
    section = swap.piece.sections[swap.section]
    touching = steps.touching(section.start, section.end)
    return touching.start, min(touching.stop, steps.n_frames + min(steps.first))


class _Restoring:
    """Recipe of `Restored`: nats a token of returns, ``[piece]``; ``unedited`` has the clean run's as well."""

    def needs(self, source: Restored) -> Sequence[object]:
        return needed(source.study)

    def together(self, source: Restored) -> Hashable:
        one = source.condition
        return source.study, source.guidance, source.settle, one.role, one.size

    def make(self, sources: Sequence[Restored], making: Making) -> dict[Restored, Record]:
        first, model = sources[0], making.passes.model
        records, tested = opened(first.study, making)
        steps = Steps.of(model, model.n_frames(making.passes.settings.duration))
        every = first.study.scores.pieces.load(model, steps.n_frames)
        swaps = [swap for number, _ in tested if (swap := swapped(number, every)) is not None]
        numbers = {"piece": np.array([swap.number for swap in swaps], np.int64)}
        plain = [Row(swap.piece.prompt, 0) for swap in swaps]
        if first.condition.role == "unedited":
            runs = {"nats": (plain, False), "clean": (plain, True)}
            found = {name: _read(making, first, swaps, *how) for name, how in runs.items()}
            return {first: numbers | found}
        scores, made = records[first.study.scores], {}
        for source in sources:
            heads = heads_of(first.study, source.condition, scores)
            rows = [patched(first.study, heads, swap, steps) for swap in swaps]
            made[source] = numbers | {"nats": _read(making, source, swaps, rows, False, _fitting(heads, making))}
        return made


def _fitting(heads: Sequence[Head], making: Making) -> int:
    """Rows of a pass whose clean runs' values fit: every row has its own, and they are held twice."""
    model = making.passes.model
    one = 8 * len(by_layer(heads)) * making.passes.n_steps * model.halves * model.d_model
    return max(MIN_PASS, min(MOST, BUDGET // one))


def _read(
    making: Making, source: Restored, swaps: Sequence[Swap], rows: Sequence[Row], clean: bool, most: int = MOST
) -> Float[np.ndarray, " piece"]:
    """Nats a token of each return, along the swapped codes or the ``clean`` ones."""
    if not swaps:
        return np.zeros(0)
    codes: list[Codes] = [swap.piece.codes if clean else swap.codes for swap in swaps]
    steps = Steps.of(making.passes.model, making.passes.model.n_frames(making.passes.settings.duration))
    words = f"patched {source.condition.role} {source.condition.size or ''}".strip()
    with progress(words, len(rows), making.quiet) as show:
        nats = forced_nats(making, rows, codes, source.guidance, show, most)
    return np.array([_mean(swap, one, source.settle, steps) for swap, one in zip(swaps, nats, strict=True)])


def _mean(swap: Swap, nats: np.ndarray, settle: int, steps: Steps) -> float:
    """Nats a token of the return, as far as it counts: in frames of which every codebook is drawn within the window."""
    section = swap.piece.sections[swap.section]
    counted = measured_frames(swap.piece, settle).sum(0) > 0
    counted &= np.arange(len(counted)) + max(steps.first) < _window(swap, steps)[1]
    own = np.zeros_like(counted)
    own[section.start : section.end] = counted[section.start : section.end]
    return float(nats[:, own].mean()) if own.any() else np.nan


register(Restored, _Restoring())
