"""Each attention equals a slow, direct implementation of its equation, and is invariant where the equation says so."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mech_music.models.symbolic.decoder import Pairs, attend
from mech_music.models.symbolic.notes import Grid, Track
from mech_music.models.symbolic.relations import (
    ATTENTION,
    CircularHadamard,
    CircularSum,
    Relations,
    Relative,
    Ripo,
    logits_with_relations,
)
from mech_music.models.symbolic.tokens import NO_PITCH, Places

GRID = Grid(bars=4, positions=6, longest=6, tracks=(Track("high", 55, 90), Track("low", 30, 60)))
WIDTH, HEADS, LONG = 16, 2, 24
D_HEAD = WIDTH // HEADS


def made(kind: str) -> Relations:
    torch.manual_seed(3)
    found = ATTENTION[kind](GRID, LONG, WIDTH, HEADS).requires_grad_(False)
    for parameter in found.parameters():  # tables as large as the queries: every term counts
        parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter.shape[-1]) * 3)
    return found


def places(rows: int = 2) -> Places:
    """Onsets in order, some of them shared; some tokens without a pitch."""
    random = torch.Generator().manual_seed(5)
    onset = torch.randint(GRID.onsets, (rows, LONG), generator=random).sort(1).values
    pitch = torch.randint(30, 91, (rows, LONG), generator=random)
    pitch[torch.rand(rows, LONG, generator=random) < 0.2] = NO_PITCH
    index = torch.arange(LONG).expand(rows, -1)
    return Places(index, onset // GRID.positions, onset % GRID.positions, pitch)


def moved(of: Places, semitones: int = 0, bars: int = 0) -> Places:
    pitch = torch.where(of.pitch == NO_PITCH, NO_PITCH, of.pitch + semitones)
    return Places(of.index, of.bar + bars, of.position, pitch)


def heads(line: Tensor) -> Tensor:
    return line.unflatten(-1, (HEADS, D_HEAD))


def direct(relations: Relations, q: Tensor, at: Places, row: int, i: int, j: int) -> Tensor:
    """``Σ q·E[Δ]`` of one pair, ``[head]``, straight from the equation."""
    own, total = q[row, :, i], torch.zeros(HEADS)

    def times(line: Tensor) -> Tensor:
        return (own * heads(line)).sum(-1)

    bar, position = (int(one[row, i] - one[row, j]) for one in (at.bar, at.position))
    semitones = int(at.pitch[row, i] - at.pitch[row, j])
    sounding = NO_PITCH not in (int(at.pitch[row, i]), int(at.pitch[row, j]))
    if isinstance(relations, Relative):
        total = total + times(relations.distance.weight[i - j])
    if isinstance(relations, Ripo):
        if sounding:
            total = total + times(relations.pitch.weight @ sinusoids(semitones))
        total = total + times(relations.onset.weight @ sinusoids(GRID.positions * bar + position))
    if isinstance(relations, CircularSum):
        hadamard = isinstance(relations, CircularHadamard)
        pairs = [(embedded(relations, "bar", bar), embedded(relations, "position", position + GRID.positions - 1))]
        if sounding:
            octave = embedded(relations, "octave", math.floor(semitones / 12) + relations.octaves)
            pairs.append((octave, embedded(relations, "semitone", semitones % 12)))
        total = total + sum(times(a * b) if hadamard else times(a) + times(b) for a, b in pairs)
    return total


def embedded(relations: CircularSum, name: str, number: int) -> Tensor:
    table, projection = relations.values[name], relations.projections[name]
    assert isinstance(table.weight, Tensor) and isinstance(projection.weight, Tensor)
    return projection.weight @ table.weight[number]


def sinusoids(interval: int) -> Tensor:
    rates = [10_000.0 ** (-2 * k / WIDTH) for k in range(WIDTH // 2)]
    return torch.tensor([math.sin(w * interval) for w in rates] + [math.cos(w * interval) for w in rates])


def queries(rows: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(9)
    q, k, v = (torch.randn(rows, HEADS, LONG, D_HEAD, generator=random) for _ in range(3))
    return q, k, v


@pytest.mark.parametrize("kind", ATTENTION)
def test_equals_the_equation(kind: str) -> None:
    relations, at, (q, k, _) = made(kind), places(), queries()
    tables, lines = relations.tables(), relations.lines(at, at)
    found = logits_with_relations(q / math.sqrt(D_HEAD), k, tables, lines, relations.scale)
    size = 0.0
    for row in range(2):
        for i in range(LONG):
            for j in range(i + 1):
                extra = relations.scale * direct(relations, q, at, row, i, j)
                wanted = ((q[row, :, i] * k[row, :, j]).sum(-1) + extra) / math.sqrt(D_HEAD)
                assert torch.allclose(found[row, :, i, j], wanted, atol=1e-5), (row, i, j)
                size = max(size, float(extra.abs().max()))
    assert (size > 0.1) is (kind != "plain"), "the relations matter in this test"


@pytest.mark.parametrize("kind", ATTENTION)
def test_one_query_as_all_queries(kind: str) -> None:
    """With keys that are kept, a query alone gets what it gets among all; and what comes later is not seen."""
    relations, at, (q, k, v) = made(kind), places(), queries()
    hidden = at.index[:, None, None] > at.index[:, None, :, None]
    tables = relations.tables()
    whole = attend(q, k, v, Pairs(relations.lines(at, at), hidden), tables, relations.scale)
    for i in (0, 7, LONG - 1):
        here, so_far = at[i : i + 1], at[: i + 1]
        parts = q[:, :, i : i + 1], k[:, :, : i + 1], v[:, :, : i + 1]
        alone = attend(*parts, Pairs(relations.lines(here, so_far)), tables, relations.scale)
        assert torch.allclose(alone[:, :, 0], whole[:, :, i], atol=1e-5)


def relations_only(relations: Relations, q: Tensor, at: Places) -> Tensor:
    """What the relations add to the logits of visible pairs."""
    zero = torch.zeros_like(q)
    found = logits_with_relations(q, zero, relations.tables(), relations.lines(at, at), 1.0)
    return found.tril()


@pytest.mark.parametrize("kind", ATTENTION)
@pytest.mark.parametrize("change", [{"semitones": 3}, {"semitones": -12}, {"bars": 1}], ids=str)
def test_transposed_and_shifted_pieces_have_the_same_logits(kind: str, change: dict[str, int]) -> None:
    """Only differences enter: bit for bit the same."""
    relations, (q, _, _) = made(kind), queries()
    early = places()
    at = Places(early.index, early.bar.clamp(max=2), early.position, early.pitch.clamp(max=80))
    at = Places(at.index, at.bar, at.position, torch.where(early.pitch == NO_PITCH, NO_PITCH, at.pitch.clamp(min=45)))
    assert torch.equal(relations_only(relations, q, at), relations_only(relations, q, moved(at, **change)))


@pytest.mark.parametrize("kind", ["circular-sum", "circular-hadamard"])
def test_octaves_are_circles(kind: str) -> None:
    """With one table line for all octaves, a key's pitch counts modulo 12; with one for all bars, bars do not count."""
    relations, (q, _, _) = made(kind), queries()
    assert isinstance(relations, CircularSum)
    at = places()
    up = Places(at.index, at.bar, at.position, torch.where(at.pitch >= 60, at.pitch - 12, at.pitch))
    assert not torch.allclose(relations_only(relations, q, at), relations_only(relations, q, up))
    for name in ("octave", "bar"):
        weight = relations.values[name].weight
        assert isinstance(weight, Tensor)
        weight.copy_(weight[:1].expand_as(weight))
    assert torch.equal(relations_only(relations, q, at), relations_only(relations, q, up))
    first = Places(at.index, torch.zeros_like(at.bar), at.position, at.pitch)
    assert torch.allclose(relations_only(relations, q, at), relations_only(relations, q, first), atol=1e-6)
