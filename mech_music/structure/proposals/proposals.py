"""Where a recording's music may return: pairs of places that are nearer than chance and texture make them.

They are proposals: who listens decides (`mech_music.structure.review`). To each belongs a negative, a pair of the same
track at a like position, as far apart and as unlike in texture, that is no nearer than chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from mech_music.base.errors import UserError
from mech_music.structure.proposals.alignment import align
from mech_music.structure.proposals.descriptors import Described
from mech_music.structure.proposals.matching import matched
from mech_music.structure.proposals.null import fit_texture, null_of_track, p_under
from mech_music.structure.proposals.segments import Segments, Spans, cut, fixed_grid

_UNLIKELY = 0.3  # the least p of a negative


class Role(StrEnum):
    """What a pair is proposed as."""

    returning = "return"
    negative = "negative"


@dataclass(frozen=True)
class ProposalSettings:
    """``seconds``: of a place; ``hop``: from one to the next; ``step``: of what is compared, seconds. ``level``: the p
    up to which pairs are proposed; ``nulls``: pairs of each null distribution of a track; ``most``: proposals of a
    track."""

    seconds: float = 6.0
    hop: float = 1.5
    step: float = 0.12
    level: float = 0.01
    nulls: int = 500
    most: int = 12
    seed: int = 0

    def check(self) -> None:
        """UserError for numbers that propose nothing."""
        for name in ("seconds", "hop", "step"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}={getattr(self, name):g}: expected seconds above 0")
        if not 1 / (1 + self.nulls) <= self.level < 1:
            raise UserError(
                f"level={self.level:g}: with nulls={self.nulls} the smallest p is {1 / (1 + self.nulls):.2g}; expected "
                "that or more, and below 1"
            )

    @property
    def steps(self) -> int:
        """Of a place."""
        return max(16, round(self.seconds / self.step))


@dataclass(frozen=True)
class Proposal:
    """Two places of one recording, seconds; the second later. ``distance``: aligned, texture taken out; ``semitones``:
    from the first to the second; ``score``: standard deviations below the null; ``p``: under it. ``timbre``,
    ``loudness``: how unlike the textures are."""

    recording: str
    role: Role
    first: tuple[float, float]
    second: tuple[float, float]
    semitones: int
    distance: float
    score: float
    p: float
    timbre: float
    loudness: float

    @property
    def id(self) -> str:
        """The name of the pair, whatever else is said of it."""
        said = f"{self.recording} {self.first[0]:.3f} {self.first[1]:.3f} {self.second[0]:.3f} {self.second[1]:.3f}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]


class Compared(NamedTuple):
    """Pairs of segments. ``distance``: texture taken out; ``differences``: of timbre and loudness."""

    pairs: Int[np.ndarray, "pair 2"]
    semitones: Int[np.ndarray, " pair"]
    distance: Float64[np.ndarray, " pair"]
    score: Float64[np.ndarray, " pair"]
    p: Float64[np.ndarray, " pair"]
    differences: Float64[np.ndarray, "pair 2"]


def propose(
    names: Sequence[str],
    recordings: Sequence[Described],
    settings: ProposalSettings,
    done: Callable[[], None] = lambda: None,
) -> list[Proposal]:
    """The returns of each recording that are unlikely under its nulls, each with a matched negative where there is one.

    ``done``: called for each recording.
    UserError for settings that cannot be, and a recording too short for two places.
    """
    settings.check()
    spans = [fixed_grid(one.seconds, settings.seconds, settings.hop) for one in recordings]
    segments = cut(recordings, spans, settings.steps)
    compared = compare(segments, [_apart(segments, number) for number in range(len(recordings))], settings, done)
    found: list[Proposal] = []
    for name, one in zip(names, compared, strict=True):
        near = _least_of_each_place(segments, one, one.p <= settings.level, settings.seconds)[: settings.most]
        for at, other in zip(near, matched(_covariates(segments, one), near, _free(segments, one, near)), strict=True):
            found.append(_proposal(name, Role.returning, segments, one, at))
            if other is not None:
                found.append(_proposal(name, Role.negative, segments, one, other))
    return found


def compare(
    segments: Segments,
    pairs: Sequence[Int[np.ndarray, "pair 2"]],
    settings: ProposalSettings,
    done: Callable[[], None] = lambda: None,
) -> list[Compared]:
    """Each track's pairs against its own nulls; texture is taken out with one regression over all tracks."""
    texture = fit_texture(segments, settings.nulls, settings.seed)
    found = []
    for some in pairs:
        alignment, differences = align(segments.pitch, some), segments.texture_between(some)
        distance = texture.removed(alignment.distance.astype(np.float64), differences)
        p, score = p_under(distance, null_of_track(segments, some, texture, settings.nulls, settings.seed))
        found.append(Compared(some, alignment.semitones, distance, score, p, differences))
        done()
    return found


def _apart(segments: Segments, track: int) -> Int[np.ndarray, "pair 2"]:
    """All pairs of a track that do not overlap, the earlier first."""
    own = np.flatnonzero(segments.track == track)
    first, second = (own[at] for at in np.triu_indices(len(own), 1))
    return np.stack([first, second], 1)[segments.spans[first, 1] <= segments.spans[second, 0] + 1e-6]


def _least_of_each_place(
    segments: Segments, compared: Compared, wanted: Bool[np.ndarray, " pair"], length: float
) -> list[int]:
    """Of pairs that say the same (about the same lag, overlapping places) the nearest one, in order of distance."""
    starts: Spans = segments.spans[compared.pairs, 0]
    kept: list[int] = []
    for at in np.argsort(compared.distance, kind="stable"):
        if not wanted[at]:
            continue
        others = starts[kept]
        shift = np.abs(others - starts[at])
        lag = np.abs(np.diff(others, axis=1) - np.diff(starts[at]))[:, 0]
        if not ((shift.max(1, initial=0) < length) & (lag < length / 2)).any():
            kept.append(int(at))
    return kept


def _covariates(segments: Segments, compared: Compared) -> Float64[np.ndarray, "pair covariate"]:
    """What a negative is matched on: position, lag, and the differences of timbre and loudness."""
    starts = segments.spans[compared.pairs, 0]
    return np.concatenate([starts[:, 1:], np.diff(starts, axis=1), compared.differences], 1)


def _free(segments: Segments, compared: Compared, near: list[int]) -> list[int]:
    """Pairs that are no nearer than chance, and are not next to a proposal."""
    starts = segments.spans[compared.pairs, 0]
    length = segments.spans[0, 1] - segments.spans[0, 0]
    clear = compared.p >= _UNLIKELY
    for at in near:
        clear &= np.abs(starts - starts[at]).max(1) >= length / 2
    return np.flatnonzero(clear).tolist()


def _proposal(name: str, role: Role, segments: Segments, compared: Compared, at: int) -> Proposal:
    (first, second), (timbre, loudness) = compared.pairs[at], compared.differences[at]
    spans = [(round(float(a), 3), round(float(b), 3)) for a, b in segments.spans[[first, second]]]
    numbers = (float(compared.distance[at]), float(compared.score[at]), float(compared.p[at]))
    return Proposal(
        name, role, spans[0], spans[1], int(compared.semitones[at]), *numbers, float(timbre), float(loudness)
    )
