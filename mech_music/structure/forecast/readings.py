"""What is read of annotated pieces: the pieces themselves, activations at their beats, what they sound like there.

Recordings (`mech_music.activations.recipes`): made once and found in the store.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32, Int

from mech_music.activations.recipes import Making, register
from mech_music.activations.sources import Tokens
from mech_music.activations.streams import stream
from mech_music.base.errors import UserError
from mech_music.base.workers import Advance
from mech_music.edits.row import Half, Row
from mech_music.saes.progress import progress
from mech_music.structure.forecast.acoustics import acoustics
from mech_music.structure.forecast.named import Acoustics, Annotated, AtBeats, Given, Sight, Tensors
from mech_music.structure.forecast.rows import horizons_of
from mech_music.structure.forecast.untrained import shuffled_weights
from mech_music.structure.pieces.annotated import AnnotatedPiece
from mech_music.structure.pieces.packing import packed

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

_CHUNK = 2**28  # bytes of activations in memory


@lru_cache(maxsize=1)
def loaded(given: Given, generator: Generator) -> Sequence[AnnotatedPiece]:
    """The pieces. UserError for pieces that are not this model's, or there twice in two tracks."""
    pieces = given.pieces.load(given.n, generator)
    if len(pieces) < given.n:
        raise UserError(f"n_pieces={given.n}: there are {len(pieces)} pieces; use n_pieces={len(pieces)} or fewer")
    tracks: dict[bytes, AnnotatedPiece] = {}
    for piece in pieces:
        codes = piece.codes
        if codes.shape[0] != generator.n_codebooks or codes.min() < 0 or codes.max() >= generator.card:
            raise UserError(
                f"piece '{piece.name}' has {codes.shape[0]} codebooks with tokens {codes.min()} to {codes.max()}, this "
                f"model {generator.n_codebooks} with 0 to {generator.card - 1}: it is another model's piece; choose "
                "pieces=… of this one"
            )
        other = tracks.setdefault(codes.tobytes(), piece)
        if other.track != piece.track:
            raise UserError(
                f"pieces '{other.name}' and '{piece.name}' are the same music in two tracks, '{other.track}' and "
                f"'{piece.track}', and so in two splits: give both one track"
            )
    return pieces


class _Annotated:
    """Recipe of `Annotated`: the pieces as JSON."""

    def needs(self, source: Annotated) -> Sequence[object]:
        return ()

    def together(self, source: Annotated) -> Hashable:
        return source

    def make(self, sources: Sequence[Annotated], making: Making) -> dict[Annotated, Tensors]:
        (source,) = sources
        pieces = loaded(source.given, making.passes.model)
        horizons_of(pieces, source.horizons, source.clock, source.window)
        return {source: {"pieces": packed(pieces)}}


class _Acoustics:
    """Recipe of `Acoustics`. Records ``beats [beat, column]``, piece after piece."""

    def needs(self, source: Acoustics) -> Sequence[object]:
        return ()

    def together(self, source: Acoustics) -> Hashable:
        return source

    def make(self, sources: Sequence[Acoustics], making: Making) -> dict[Acoustics, Tensors]:
        (source,), model = sources, making.passes.model
        pieces = loaded(source.given, model)
        with progress("sound of pieces", len(pieces), making.quiet) as show:

            def work(piece: AnnotatedPiece, advance: Advance) -> np.ndarray:
                advance(1)
                return acoustics([piece], model, source.window)

            found = making.spread(work, pieces, show)
        return {source: {"beats": np.concatenate(found).astype(np.float32)}}


class _AtBeats:
    """Recipe of `AtBeats`. Records ``beats [beat, width]``, piece after piece; NaN where the model fails, or where a
    local sight would begin before the piece."""

    def needs(self, source: AtBeats) -> Sequence[object]:
        return ()

    def together(self, source: AtBeats) -> Hashable:
        return (source.given, source.sight, source.window, source.seed)

    def make(self, sources: Sequence[AtBeats], making: Making) -> dict[AtBeats, Tensors]:
        first, model = sources[0], making.passes.model
        hooks = list(dict.fromkeys(source.hook for source in sources))
        pieces = loaded(first.given, model)
        clips = list(_windows(pieces, first.window) if first.sight is Sight.local else _whole(pieces))
        untrained = first.sight is Sight.untrained
        with shuffled_weights(model, first.seed) if untrained else nullcontext():
            found = _read(clips, hooks, making, first.sight)
        return {source: {"beats": found[source.hook]} for source in sources}


@dataclass(frozen=True)
class _Clip:
    """Tokens that are read along; ``frames``: just before which activations are kept; ``places``: for which beats."""

    codes: Int[np.ndarray, "codebook frame"]
    prompt: str
    frames: tuple[int, ...]
    places: tuple[int, ...]


def _whole(pieces: Sequence[AnnotatedPiece]) -> Iterator[_Clip]:
    """Every piece, its last frame repeated up to the longest one's length: nothing is read there."""
    longest, before = max(piece.n_frames for piece in pieces), 0
    for piece in pieces:
        codes = np.pad(piece.codes, ((0, 0), (0, longest - piece.n_frames)), "edge")
        yield _Clip(codes, piece.prompt, piece.beats, tuple(range(before, before + len(piece.beats))))
        before += len(piece.beats)


def _windows(pieces: Sequence[AnnotatedPiece], window: int) -> Iterator[_Clip]:
    """For each frame with a beat, the frames before it, and it, which is not read any more."""
    before = 0
    for piece in pieces:
        for frame in dict.fromkeys(piece.beats):
            if frame >= window:
                own = tuple(before + beat for beat, at in enumerate(piece.beats) if at == frame)
                yield _Clip(piece.codes[:, frame - window : frame + 1], piece.prompt, (window,) * len(own), own)
        before += len(piece.beats)


def _read(
    clips: Sequence[_Clip], hooks: Sequence[str], making: Making, sight: Sight
) -> dict[str, Float32[np.ndarray, "beat width"]]:
    model, sampling = making.passes.model, making.passes.settings.sampling
    source = Tokens(np.stack([clip.codes for clip in clips]), [clip.prompt for clip in clips])
    found = stream(model, hooks, source, Half.cond, sampling, budget=_CHUNK)
    places: dict[Row, list[_Clip]] = {}
    for row, clip in zip(source.part(range(len(clips)), model)[0], clips, strict=True):
        places.setdefault(row, []).append(clip)
    steps = first_steps(model, clips[0].codes.shape[1])

    def work(number: int, advance: Advance) -> list[tuple[tuple[int, ...], dict[str, np.ndarray]]]:
        chunk, kept = found.chunk(number), []
        for at, row in enumerate(chunk.rows):
            for clip in places[row]:
                own = steps[list(clip.frames)]
                kept.append((clip.places, {hook: chunk.values[hook][at, own, 0].numpy() for hook in hooks}))
        advance(1)
        return kept

    n_beats = 1 + max(clip.places[-1] for clip in clips)
    arrays: dict[str, np.ndarray] = {}
    with progress(f"activations, {sight}", len(found), making.quiet) as show:
        for kept in making.spread(work, range(len(found)), show):
            for at, values in kept:
                for hook, own in values.items():
                    array = arrays.setdefault(hook, np.full((n_beats, own.shape[1]), np.nan, np.float32))
                    array[list(at)] = own
    return arrays


def first_steps(generator: Generator, n_frames: int) -> Int[torch.Tensor, " frame"]:
    """The step that samples each frame's first token: it has read what is before the frame, and nothing of it."""
    n_steps = generator.n_steps((n_frames + 0.5) / generator.frame_rate)
    positions = torch.arange(n_steps + 1).repeat(1, generator.n_codebooks, 1).to(generator.device)
    return generator.to_frames(positions, n_frames)[0].min(0).values.cpu() - 1


register(Annotated, _Annotated())
register(Acoustics, _Acoustics())
register(AtBeats, _AtBeats())
