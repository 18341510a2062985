"""Labelled recordings as annotated pieces: stretches as long as a model reads, that begin where a section does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind, Section

if TYPE_CHECKING:
    from mech_music.models.protocol import Generator

_LEAST = 1.0  # seconds of a section


@dataclass(frozen=True)
class Span:
    """A section in seconds. ``source``: the number of the earlier span that it is like; None for a new one."""

    start: float
    end: float
    kind: Kind
    source: int | None = None
    semitones: int = 0


@dataclass(frozen=True)
class Labelled:
    """A recording with its sections, in order and apart from each other. ``beats``, ``bars``: seconds; ``sound``: from
    one second to another, with its sample rate."""

    name: str
    track: str
    prompt: str
    seconds: float
    spans: Sequence[Span]
    beats: Sequence[float]
    bars: Sequence[float]
    sound: Callable[[float, float], tuple[Float32[np.ndarray, " sample"], int]]


def windows(labelled: Labelled, seconds: float, generator: Generator) -> Iterator[AnnotatedPiece]:
    """Stretches of ``seconds`` that do not overlap, each with a return whose source it has as well. What returns from
    before a stretch is new to whoever reads it."""
    import torch

    free = 0.0
    for first, span in enumerate(labelled.spans):
        start, end = span.start, span.start + seconds
        if start < free or end > labelled.seconds + 1e-6:
            continue
        sections = _within(labelled.spans, first, start, end, generator.frame_rate)
        if not any(section.kind.returns for section in sections):
            continue
        audio, rate = labelled.sound(start, end)
        codes = generator.to_tokens(torch.from_numpy(audio)[None], rate)[0, :, : generator.n_frames(seconds)]
        free = end
        beats, bars = (
            tuple(round((at - start) * generator.frame_rate) for at in times if start <= at < end - 1e-6)
            for times in (labelled.beats, labelled.bars)
        )
        yield AnnotatedPiece(
            name=f"{labelled.name}@{start:.2f}",
            track=labelled.track,
            regime="",
            prompt=labelled.prompt,
            frame_rate=generator.frame_rate,
            sections=sections,
            beats=beats,
            bars=bars,
            codes=codes.cpu().numpy(),
        )


def _within(spans: Sequence[Span], first: int, start: float, end: float, frame_rate: float) -> tuple[Section, ...]:
    found: list[Section] = []
    place: dict[int, int] = {}
    for number in range(first, len(spans)):
        span = spans[number]
        if min(span.end, end) - span.start < _LEAST:
            continue
        begins, ends = (round((at - start) * frame_rate) for at in (span.start, min(span.end, end)))
        source = place.get(span.source) if span.source is not None else None
        kind = Kind.new if source is None else span.kind
        place[number] = len(found)
        found.append(Section(begins, ends, kind, source, 0 if source is None else span.semitones))
    return tuple(found)
