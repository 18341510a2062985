"""Annotated pieces without music: sections and beats, and what returns drawn by a coin."""

from __future__ import annotations

import numpy as np

from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind, Section

BEAT, SECTION, N_SECTIONS = 4, 8, 4  # frames, beats


def made_piece(number: int, returns: str | None = None, prompt: str = "A piece.", **more: object) -> AnnotatedPiece:
    """Four sections of eight beats of four frames. ``returns``: of each section but the first, ``r`` or ``n``."""
    random = np.random.default_rng(number)
    kinds = returns or "".join(random.choice(["r", "n"], N_SECTIONS - 1))
    length, sections = BEAT * SECTION, [Section(0, BEAT * SECTION, Kind.new)]
    for at, kind in enumerate(kinds, 1):
        own = (Kind.exact, 0) if kind == "r" else (Kind.new, None)
        sections.append(Section(at * length, (at + 1) * length, *own))
    frames = length * N_SECTIONS
    told = {
        "name": f"piece-{number}",
        "track": str(number),
        "regime": "",
        "prompt": prompt,
        "frame_rate": 4.0,
        "sections": tuple(sections),
        "beats": tuple(range(0, frames, BEAT)),
        "bars": tuple(range(0, frames, 4 * BEAT)),
        "codes": random.integers(0, 8, (1, frames)),
    }
    return AnnotatedPiece(**(told | more))  # pyright: ignore[reportArgumentType]


def made_pieces(n: int, seed: int = 0) -> list[AnnotatedPiece]:
    """Whose returns a coin decides."""
    return [made_piece(1000 * seed + number) for number in range(n)]
