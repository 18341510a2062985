"""What an earlier section is worth: the likelihood of a section after the true one, and after another in its place.

The other one is a section of another piece in the same key, tempo and instrument, put into the place of every section
of the letter that the judged section returns to (or is a decoy of; of a new section: of an earlier letter by chance).
Only tokens before the judged section are replaced, whole and encoded together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mech_music.tiny.long.composition import BEATS, Piece, new_music, truth
from mech_music.tiny.long.sound import render

Encode = Callable[[Float[np.ndarray, "piece sample"]], Int[Tensor, "piece codebook frame"]]
Losses = Callable[[Int[Tensor, "row codebook frame"], Sequence[str]], Float[np.ndarray, "row codebook frame"]]


@dataclass(frozen=True)
class Judged:
    """A section of a piece: nats a frame (first codebook; all codebooks together), and nats of a note's first token.

    ``swapped``: the same after another section. The first frame is left out, which hears the end of the section before
    it, and so is the cadence; of notes the first one, which no earlier note foretells.
    """

    piece: int
    kind: str
    regime: str
    true: Float[np.ndarray, " measure"]
    swapped: Float[np.ndarray, " measure"]


MEASURES = ("first codebook", "all codebooks", "note")


def swap(piece: Piece, target: int) -> Piece:
    """The piece with another section's music in the place of those that section ``target`` is like."""
    random = Random(f"swap/{piece.number}/{target}")
    source = piece.sections[target].source
    like = random.randrange(target) if source is None else source
    letter = piece.sections[like].letter
    other = new_music(piece.sections[like].music.key, piece.sections[like].music.instrument, random)
    sections = list(piece.sections)
    for at, one in enumerate(sections[:target]):
        if one.letter == letter:
            music = replace(other, key=one.music.key, instrument=one.music.instrument)
            sections[at] = replace(one, music=music)
    return replace(piece, sections=tuple(sections))


def judged_frames(piece: Piece, section: int) -> tuple[Bool[np.ndarray, " frame"], Bool[np.ndarray, " frame"]]:
    """Frames of a section that are judged, and of these the ones at which a note begins, but for the first."""
    facts, start = truth(piece), piece.annotated[section].start
    frames = (facts["section"] == section) & (facts["cadence"] == 0)
    frames[start] = False
    return frames, frames & (facts["onset"] == 1)


def judge(pieces: Sequence[Piece], encode: Encode, losses: Losses) -> Iterator[Judged]:
    """Every section but the first, of every piece."""
    codes = torch.cat([encode(render(piece)[None]) for piece in pieces])
    plain = losses(codes, [piece.prompt for piece in pieces])
    for number, piece in enumerate(pieces):
        targets = range(1, len(piece.sections))
        others = torch.cat([encode(render(swap(piece, target))[None]) for target in targets])
        for row, target in enumerate(targets):
            start = piece.annotated[target].start
            others[row, :, start:] = codes[number, :, start:]
        after = losses(others, [piece.prompt] * len(others))
        for row, target in enumerate(targets):
            frames, notes = judged_frames(piece, target)
            one = piece.sections[target]
            true, swapped = (_measures(nats, frames, notes) for nats in (plain[number], after[row]))
            yield Judged(number, one.kind.value, piece.regime, true, swapped)


def _measures(
    nats: Float[np.ndarray, "codebook frame"], frames: Bool[np.ndarray, " frame"], notes: Bool[np.ndarray, " frame"]
) -> Float[np.ndarray, " measure"]:
    return np.array([nats[0, frames].mean(), nats[:, frames].sum(0).mean(), nats[0, notes].mean()])


def agreement(pieces: Sequence[Piece], encode: Encode) -> dict[str, tuple[float, float]]:
    """How many tokens of exact returns are those of their source, by codebook: in all judged frames, and at beats.

    At the ends of a section, frames hear a little of what stands beside it, which differs.
    """
    same: list[Bool[np.ndarray, "codebook frame"]] = []
    inner: list[Bool[np.ndarray, "codebook frame"]] = []
    for piece in pieces:
        codes = encode(render(piece)[None])[0].numpy()
        for section in piece.annotated:
            if section.kind != "exact" or section.source is None:
                continue
            size = (BEATS - 2) * piece.beat
            there = piece.annotated[section.source].start
            equal = codes[:, section.start : section.start + size] == codes[:, there : there + size]
            same.append(equal)
            inner.append(equal[:, 1:-1])
    joined, within = np.concatenate(same, 1), np.concatenate(inner, 1)
    found = {f"codebook {book + 1}": (joined[book].mean(), within[book].mean()) for book in range(len(joined))}
    return found | {"all codebooks": (joined.all(0).mean(), within.all(0).mean())}
