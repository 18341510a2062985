"""What attention knows of two notes beside their content: five ways, one interface.

The logits of attention are ``(q·k + α · Σ_r q·E_r[Δ_r]) / √d_head``, where Δ_r is a relation of query and key (how many
tokens, bars, positions, semitones apart) and E_r a table with a line for each value that Δ_r can have. Nothing of the
size of queries × keys × d is made. Keys that begin together, or have one pitch, have the same line for a query: its
products with all lines are picked once for each such group, and then are further channels of q, with a one-hot of the
key's group beside k, in the one matrix product of attention. Distances in tokens are read along diagonals.

Relative: Huang et al., "Music Transformer" (ICLR 2019). RIPO: Guo, Kang, Herremans, "A domain-knowledge-inspired music
embedding space and a novel attention mechanism for symbolic music modeling" (AAAI 2023). The circular kinds: a bar and
a position in it, an octave and a semitone in it, each a table, added (sum) or multiplied (Hadamard).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mech_music.models.symbolic.notes import Grid
from mech_music.models.symbolic.tokens import NO_PITCH, Places

_CIRCULAR_SCALE = 0.1  # α of the circular kinds
_SLOWEST = 10_000.0  # the base of the sinusoids of a shift
Table: TypeAlias = Float[Tensor, "line head d_head"]


@dataclass(frozen=True)
class Grouped:
    """Which line of its table each query takes for the keys of each group, and which group each key is of."""

    line: Int[Tensor, "row query group"]
    group: Int[Tensor, "row key"]


Lines: TypeAlias = Grouped | None
"""None: the table is one of distances in tokens, a line for each from 0 on."""


def logits_with_relations(
    q: Float[Tensor, "row head query d_head"],
    k: Float[Tensor, "row head key d_head"],
    tables: Sequence[Table],
    lines: Sequence[Lines],
    scale: float,
) -> Float[Tensor, "row head query key"]:
    """``q·k + scale · Σ q·table[line]``; q should be divided by √d_head. Keys after the query get no defined number.

    The queries are those of the last keys.
    """
    longer_q, longer_k, added = [q], [k], []
    for table, line in zip(tables, lines, strict=True):
        if line is None:
            added.append(_of_distances(q * scale, table, k.shape[2]))
            continue
        products = torch.einsum("bhqd,rhd->bhqr", q * scale, table)
        if q.shape[2] == 1:
            own = line.line.gather(-1, line.group[:, None])
            added.append(products.gather(-1, own[:, None].expand(-1, q.shape[1], -1, -1)))
            continue
        longer_q.append(products.gather(-1, line.line[:, None].expand(-1, q.shape[1], -1, -1)))
        one_hot = nn.functional.one_hot(line.group, line.line.shape[-1]).to(k.dtype)
        longer_k.append(one_hot[:, None].expand(-1, k.shape[1], -1, -1))
    logits = torch.cat(longer_q, -1) @ torch.cat(longer_k, -1).mT if longer_q[1:] else q @ k.mT
    for more in added:
        logits = logits + more if torch.is_grad_enabled() else logits.add_(more)
    return logits


def _of_distances(
    q: Float[Tensor, "row head query d_head"], table: Table, n_keys: int
) -> Float[Tensor, "row head query key"]:
    """``q · table[distance]``: the products with distances in falling order, each row one place further to the left.

    (The skewing of Huang et al.) What is left and right of a row's own products are its neighbours' and is hidden.
    """
    if q.shape[2] == 1:  # all distances: a product's shape, and so its last bits, must not depend on the step
        return torch.einsum("bhqd,rhd->bhqr", q, table)[..., :n_keys].flip(-1)
    products = torch.einsum("bhqd,rhd->bhqr", q, table[:n_keys].flip(0)).contiguous()
    rows, heads, n_queries, _ = products.shape
    strides = (*products.stride()[:2], n_keys - 1, 1)
    return products.as_strided((rows, heads, n_queries, n_keys), strides, products.storage_offset() + n_queries - 1)


class Relations(nn.Module):
    """Plain attention: no relations. The others inherit it.

    Args:
        grid: how many bars, positions and semitones there are.
        context: tokens of the longest sequence.
        width: of the model, the sum of its heads.
    """

    scale = 1.0

    def __init__(self, grid: Grid, context: int, width: int, heads: int) -> None:
        super().__init__()
        self.grid, self.width, self.heads = grid, width, heads

    def tables(self) -> list[Table]:
        """A table for each relation, from the weights: a line for each value of the relation."""
        return [self._by_head(table) for table in self._tables()]

    def _tables(self) -> Iterator[Float[Tensor, "line width"]]:
        yield from ()

    def lines(self, query: Places, key: Places) -> list[Lines]:
        """Which line of each table each pair takes. It does not depend on the weights: all layers share it."""
        return list(self._lines(query, key))

    def _lines(self, query: Places, key: Places) -> Iterator[Lines]:
        yield from ()

    def _by_head(self, table: Float[Tensor, "line width"]) -> Table:
        return table.unflatten(-1, (self.heads, -1))

    def _of_pitches(self, query: Places, key: Places) -> Grouped:
        """Keys by their pitch, those without one last. The lines are those of `_intervals`, then one for none."""
        lowest, widest = self.grid.lowest, self.grid.widest
        pitch, q = torch.arange(widest + 1, device=query.pitch.device), query.pitch[..., None] - lowest
        none = 2 * widest + 1
        line = torch.where(query.pitch[..., None] == NO_PITCH, none, q - pitch + widest)
        group = torch.where(key.pitch == NO_PITCH, widest + 1, key.pitch - lowest)
        return Grouped(nn.functional.pad(line, (0, 1), value=none), group)

    def _onsets(self, places: Places) -> Int[Tensor, "row token"]:
        """Positions from the beginning of the piece."""
        return places.bar * self.grid.positions + places.position

    @property
    def _intervals(self) -> Int[Tensor, " interval"]:
        """The semitones of each line but the last."""
        return torch.arange(-self.grid.widest, self.grid.widest + 1, device=self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device


class Relative(Relations):
    """S_idx: a line for each distance in tokens."""

    def __init__(self, grid: Grid, context: int, width: int, heads: int) -> None:
        super().__init__(grid, context, width, heads)
        self.distance = nn.Embedding(context, width)
        nn.init.normal_(self.distance.weight, std=0.02 / self.scale)

    def _tables(self) -> Iterator[Float[Tensor, "line width"]]:
        yield self.distance.weight

    def _lines(self, query: Places, key: Places) -> Iterator[Lines]:
        yield None


class Ripo(Relative):
    """S_idx, and W·FMS of the intervals in pitch and onset: FMS(Δ) = [sin ωΔ, cos ωΔ], at ``width`` / 2 rates ω.

    An onset counts positions from the beginning of the piece. Pairs without an interval get nothing for it.
    """

    def __init__(self, grid: Grid, context: int, width: int, heads: int) -> None:
        super().__init__(grid, context, width, heads)
        self.pitch, self.onset = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def _tables(self) -> Iterator[Float[Tensor, "line width"]]:
        yield from super()._tables()
        yield nn.functional.pad(self.pitch(self.shift(self._intervals)), (0, 0, 0, 1))
        yield self.onset(self.shift(torch.arange(self.grid.onsets, device=self._device)))

    def _lines(self, query: Places, key: Places) -> Iterator[Lines]:
        yield from super()._lines(query, key)
        yield self._of_pitches(query, key)
        onset = torch.arange(self.grid.onsets, device=self._device)
        yield Grouped((self._onsets(query)[..., None] - onset).clamp(min=0), self._onsets(key))

    def shift(self, interval: Int[Tensor, " line"]) -> Float[Tensor, "line width"]:
        """The sinusoids of an interval (FMS): a shift by a and one by b add as angles do."""
        rate = torch.exp(-math.log(_SLOWEST) * torch.arange(0, self.width, 2, device=interval.device) / self.width)
        angle = interval[:, None] * rate
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class CircularSum(Relative):
    """α(S_idx + S_time + S_pitch), S_time = q·E_bar[Δbar] + q·E_pos[Δposition], S_pitch likewise: octave, semitone.

    An interval of Δ semitones is ⌊Δ / 12⌋ octaves and Δ mod 12 semitones. Every table is projected linearly. Pairs
    without an interval get nothing for it.
    """

    scale = _CIRCULAR_SCALE

    def __init__(self, grid: Grid, context: int, width: int, heads: int) -> None:
        super().__init__(grid, context, width, heads)
        self.octaves = grid.widest // 12 + 1  # as many below as above
        self.apart = grid.positions - 1
        sizes = {"bar": grid.bars + 1, "position": 2 * self.apart + 1, "octave": 2 * self.octaves, "semitone": 12}
        self.values = nn.ModuleDict({name: nn.Embedding(size, width) for name, size in sizes.items()})
        self.projections = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in sizes})

    def value(self, name: str, number: Int[Tensor, "*pair"]) -> Float[Tensor, "*pair width"]:
        """The projected embedding of a number of bars, positions, octaves or semitones, counted from the lowest."""
        return self.projections[name](self.values[name](number))

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """The line of a pair of values."""
        return a + b

    def _tables(self) -> Iterator[Float[Tensor, "line width"]]:
        yield from super()._tables()
        bars, positions = (torch.arange(n, device=self._device) for n in (self.grid.bars + 1, 2 * self.apart + 1))
        yield self.join(self.value("bar", bars)[:, None], self.value("position", positions)).flatten(0, 1)
        octave = self.value("octave", self._intervals.div(12, rounding_mode="floor") + self.octaves)
        yield nn.functional.pad(self.join(octave, self.value("semitone", self._intervals % 12)), (0, 0, 0, 1))

    def _lines(self, query: Places, key: Places) -> Iterator[Lines]:
        yield from super()._lines(query, key)
        onset = torch.arange(self.grid.onsets, device=self._device)
        bar = (query.bar[..., None] - onset // self.grid.positions).clamp(min=0)
        position = query.position[..., None] - onset % self.grid.positions + self.apart
        yield Grouped(bar * (2 * self.apart + 1) + position, self._onsets(key))
        yield self._of_pitches(query, key)


class CircularHadamard(CircularSum):
    """The same with products: S_time = q·(E_bar[Δbar] ⊙ E_pos[Δposition]), S_pitch = q·(E_octave ⊙ E_semitone)."""

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b


ATTENTION: dict[str, type[Relations]] = {
    "plain": Relations,
    "relative": Relative,
    "ripo": Ripo,
    "circular-sum": CircularSum,
    "circular-hadamard": CircularHadamard,
}
