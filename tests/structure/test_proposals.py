"""Proposals of returns: what they tell apart on planted pieces, how often they are wrong by chance, what is matched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mech_music.base.errors import UserError
from mech_music.structure.pieces.annotated import Kind, Section
from mech_music.structure.proposals.alignment import align
from mech_music.structure.proposals.descriptors import Described, describe
from mech_music.structure.proposals.matching import imbalance
from mech_music.structure.proposals.null import fit_texture, p_under
from mech_music.structure.proposals.planted import planted_piece
from mech_music.structure.proposals.proposals import Proposal, ProposalSettings, Role, compare, propose
from mech_music.structure.proposals.segments import Segments, beat_grid, cut, fixed_grid
from mech_music.structure.proposals.separation import HeardPiece, auc_interval, relations, separations
from tests.structure.made_songs import wander

SETTINGS = ProposalSettings(nulls=100)
N_PIECES = 10


@pytest.fixture(scope="module")
def pieces() -> list[HeardPiece]:
    return [planted_piece(5, index) for index in range(N_PIECES)]


@pytest.fixture(scope="module")
def described(pieces: list[HeardPiece]) -> list[Described]:
    return [describe(piece.audio, piece.sample_rate) for piece in pieces]


@pytest.fixture(scope="module")
def proposed(pieces: list[HeardPiece], described: list[Described]) -> list[Proposal]:
    return propose([piece.name for piece in pieces], described, SETTINGS)


def test_returns_are_told_from_decoys_and_plain_chroma_does_not(pieces: list[HeardPiece]) -> None:
    found = {(one.method, one.kind, one.against): one.auc for one in separations(pieces, SETTINGS, resamples=200)}
    for kind in ("exact", "transposed"):
        assert found["both", kind, "decoy"].mean >= 0.95 and found["both", kind, "decoy"].low > 0.9
        assert found["both", kind, "new"].mean >= 0.95
    assert found["plain chroma", "transposed", "decoy"].high < 0.9
    assert found["plain chroma", "transposed", "decoy"].mean < 0.6
    assert found["both", "returns", "decoy"].n == N_PIECES


def test_what_returns_is_found_on_a_grid_that_knows_no_sections(
    pieces: list[HeardPiece], proposed: list[Proposal]
) -> None:
    met: dict[Kind, list[bool]] = {kind: [] for kind in Kind}
    for piece in pieces:
        own = [one for one in proposed if one.recording == piece.name and one.role is Role.returning]
        for relation in relations(piece.sections):
            places = [piece.sections[at] for at in (relation.first, relation.second)]
            hits = [one for one in own if overlap(one, places, piece.frame_rate) > 0.4]
            met[relation.kind].append(bool(hits))
            if hits and relation.kind in (Kind.exact, Kind.transposed):
                assert (hits[0].semitones - relation.semitones) % 12 == 0
    for kind in (Kind.exact, Kind.transposed):
        assert np.mean(met[kind]) > 0.8, kind
    assert np.mean(met[Kind.decoy]) < 0.3 and np.mean(met[Kind.new]) < 0.3


def overlap(one: Proposal, sections: list[Section], rate: float) -> float:
    """The lesser share of its two places that lies in the two sections."""
    shares = [
        (min(place[1], section.end / rate) - max(place[0], section.start / rate)) / (place[1] - place[0])
        for place, section in zip((one.first, one.second), sections, strict=True)
    ]
    return min(shares)


def test_where_nothing_returns_as_few_are_below_a_level_as_it_says() -> None:
    settings = replace(SETTINGS, seconds=5.0, hop=2.5, nulls=200)
    songs = [describe(wander(seed, 25.0, ("piano", "violin")[seed % 2]), 16_000) for seed in range(8)]
    compared = compare(*grid_pairs(songs, settings), settings)
    p = np.concatenate([one.p for one in compared])
    for level in (0.05, 0.2, 0.4):
        assert (p <= level).mean() <= 1.25 * level
    assert 0.3 < np.median(p) < 0.75, "nor are they all far above it"


def grid_pairs(songs: list[Described], settings: ProposalSettings) -> tuple[Segments, list[np.ndarray]]:
    segments = cut(songs, [fixed_grid(one.seconds, settings.seconds, settings.hop) for one in songs], settings.steps)
    pairs = []
    for number in range(len(songs)):
        own = np.flatnonzero(segments.track == number)
        every = np.array([(a, b) for a in own for b in own if segments.spans[a, 1] <= segments.spans[b, 0]])
        pairs.append(every)
    return segments, pairs


def test_negatives_are_matched_and_no_nearer_than_chance(proposed: list[Proposal]) -> None:
    returning = [one for one in proposed if one.role is Role.returning]
    negative = [one for one in proposed if one.role is Role.negative]
    assert len(negative) > 0.9 * len(returning) > 5
    assert all(one.p <= SETTINGS.level for one in returning) and all(one.p >= 0.3 for one in negative)
    assert {one.recording for one in negative} <= {one.recording for one in returning}

    def covariates(some: list[Proposal]) -> np.ndarray:
        return np.array([(one.second[0], one.second[0] - one.first[0], one.timbre, one.loudness) for one in some])

    assert (np.abs(imbalance(covariates(returning), covariates(negative))) < 0.5).all()
    assert len({one.id for one in proposed}) == len(proposed)


def test_texture_is_taken_out() -> None:
    """Two bands of noise that differ as much as their timbres do: nothing of that is left, and a true return is."""
    draw, n = np.random.default_rng(0), 120
    base = draw.normal(size=(n, 24, 12))
    bright = np.where(draw.random(n) < 0.5, 1.0, -1.0)
    common = draw.normal(size=(24, 12))
    mixed = 0.6 * base + bright[:, None, None] * common  # alike where timbres are alike
    unit = (mixed / np.linalg.norm(mixed, axis=2, keepdims=True)).astype(np.float32)
    segments = Segments(
        np.tile([[0.0, 1.0]], (n, 1)), np.arange(n), unit, unit, bright[:, None].astype(np.float32),
        np.zeros(n, np.float32),
    )  # fmt: skip
    texture = fit_texture(segments, 1000, 0)
    pairs = np.array([(a, b) for a in range(40) for b in range(40, 80)])
    distance, differences = align(segments.pitch, pairs).distance.astype(float), segments.texture_between(pairs)
    apart = differences[:, 0]
    assert np.corrcoef(distance, apart)[0, 1] > 0.5 and texture.explained > 0.25
    assert abs(np.corrcoef(texture.removed(distance, differences), apart)[0, 1]) < 0.1


def test_p_is_the_greater_of_the_nulls() -> None:
    nulls = [np.arange(9.0), np.arange(5.0, 14.0)]
    p, score = p_under(np.array([-1.0, 4.5, 20.0]), nulls)
    assert p.tolist() == [0.1, 0.6, 1.0]
    assert score[1] == pytest.approx(min((np.mean(null) - 4.5) / np.std(null) for null in nulls))


def test_auc_and_its_interval() -> None:
    draw = np.random.default_rng(1)
    scores, positive = draw.normal(size=60).round(1), draw.random(60) < 0.4
    units = np.repeat(np.arange(12), 5)
    found = auc_interval(scores + positive, positive, ~positive, units, 500, 0.9)
    assert found.mean == pytest.approx(roc_auc_score(positive, scores + positive))
    drawn = []
    for _ in range(150):
        chosen = np.concatenate([np.flatnonzero(units == unit) for unit in draw.integers(0, 12, 12)])
        drawn.append(roc_auc_score(positive[chosen], (scores + positive)[chosen]))
    assert found[1:3] == pytest.approx(np.quantile(drawn, [0.05, 0.95]), abs=0.05)
    assert np.isnan(auc_interval(scores, positive, positive & ~positive, units, 10, 0.9).mean)


def test_what_sections_are_to_each_other() -> None:
    sections = [
        Section(0, 1, Kind.new), Section(1, 2, Kind.transposed, 0, 5), Section(2, 3, Kind.decoy, 1),
        Section(3, 4, Kind.reorchestrated, 2), Section(4, 5, Kind.exact, 1, 5),
    ]  # fmt: skip
    found: Mapping[tuple[int, int], tuple[Kind, int]] = {
        (one.first, one.second): (one.kind, one.semitones) for one in relations(sections)
    }
    assert found[0, 1] == (Kind.transposed, 5) and found[1, 4] == (Kind.exact, 0)
    assert found[0, 2][0] is Kind.decoy and found[1, 3][0] is Kind.decoy and found[2, 3][0] is Kind.reorchestrated


def test_proposals_are_the_same_again(described: list[Described]) -> None:
    once, again = (propose(["a", "b", "c"], described[:3], SETTINGS) for _ in range(2))
    assert once == again and once


def test_pitches_and_textures_are_heard() -> None:
    t = np.arange(16_000) / 16_000
    tone = 0.3 * np.sum([np.sin(2 * np.pi * 440.0 * 2 ** (-9 / 12) * k * t) / k for k in range(1, 6)], axis=0)
    for found in (describe(tone, 16_000), sine_at(32_000)):
        assert found.chroma[5:-5].mean(0).argmax() == 0 and found.melody[5:-5].mean(0).argmax() == 0, "a C"
        assert found.rate == 25 and abs(found.seconds - 1) < 0.05
    quiet = describe(0.1 * tone, 16_000)
    loud = describe(tone, 16_000)
    assert np.allclose((loud.loudness - quiet.loudness)[3:-3], 20, atol=0.1)
    assert np.allclose(loud.timbre[3:-3], quiet.timbre[3:-3], atol=0.5), "loudness is no timbre"


def sine_at(rate: int) -> Described:
    t = np.arange(rate) / rate
    return describe(0.3 * np.sin(2 * np.pi * 261.63 * t) + 0.1 * np.sin(2 * np.pi * 523.25 * t), rate)


def test_parts_of_a_place_are_equally_long() -> None:
    """Steps that frames do not divide: each frame counts by what of it lies in the step."""
    ramp = np.arange(50, dtype=np.float32)
    steep = np.stack([ramp, 100 - ramp, *[np.zeros(50, np.float32)] * 10], 1)
    one = Described(steep, steep, ramp[:, None], ramp)
    segments = cut([one], [np.array([[0.1, 1.5]])], 4, centred=False)
    edges = 0.1 * 25 + np.arange(5) * 1.4 * 25 / 4
    first, second = (
        np.array(
            [
                np.interp(np.linspace(a, b, 4001), np.arange(51), np.append(0, values.cumsum()))[[0, -1]]
                for a, b in pairwise(edges)
            ]
        )
        for values in (steep[:, 0].astype(float), steep[:, 1].astype(float))
    )
    means = np.stack([np.diff(first)[:, 0], np.diff(second)[:, 0]], 1)
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert np.allclose(segments.chroma[0, :, :2], expected, atol=1e-4)
    assert segments.loudness[0] == pytest.approx(0.5 * (0.1 + 1.5) * 25 - 0.5, abs=1e-2)


def test_grids() -> None:
    assert fixed_grid(10.0, 4.0, 2.0).tolist() == [[0, 4], [2, 6], [4, 8], [6, 10]]
    assert beat_grid([0, 1, 2, 4, 8, 9], 2, 2).tolist() == [[0, 2], [2, 8]]
    for wrong, line in (
        (lambda: fixed_grid(7.9, 4.0, 2.0), "has no two places of 4 s"),
        (lambda: fixed_grid(9.0, 4.0, 5.0), "hop=5: expected more than 0"),
        (lambda: beat_grid([0, 1, 2], 2, 1), "3 beats have no two places"),
        (lambda: ProposalSettings(level=0.001).check(), "level=0.001: with nulls=500 the smallest p is 0.002"),
        (lambda: ProposalSettings(hop=0).check(), "hop=0: expected seconds above 0"),
        (lambda: describe(np.zeros(0), 16_000), "0 samples"),
        (lambda: cut([describe(np.ones(16_000), 16_000)], [np.array([[0.0, 9.0]])], 16), "place 0.00 to 9.00 s"),
    ):
        with pytest.raises(UserError, match=line):
            wrong()
