"""A decoder-only transformer over symbolic music: pre-norm layers, with the relations of its notes in attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mech_music.base.errors import UserError, unknown
from mech_music.models.hooks import CROSS_POINTS, IN_ATTENTION, POINTS
from mech_music.models.symbolic.attributes import ATTRIBUTES
from mech_music.models.symbolic.notes import Grid
from mech_music.models.symbolic.relations import ATTENTION, Lines, Relations, Table, logits_with_relations
from mech_music.models.symbolic.tokens import KINDS, Places

DECODER_POINTS = tuple(point for point in POINTS if point not in CROSS_POINTS)
N_CONTROLS = len(ATTRIBUTES)
_LEAST_ROWS = 16
_NEVER = -30.0  # the logit of tokens that a codebook does not use: finite, and far below any other


@dataclass
class Shape:
    """What decides the decoder's weights: ``tokens`` note or event, ``attention`` one of `ATTENTION`.

    ``context``: frames of the longest clip. ``dropout``: in training, of what each branch adds.
    """

    tokens: str = "note"
    attention: str = "circular-hadamard"
    width: int = 128
    layers: int = 4
    heads: int = 4
    context: int = 160
    dropout: float = 0.0

    def check(self) -> None:
        """UserError for words and numbers that make no model."""
        for key, value, allowed in (("tokens", self.tokens, KINDS), ("attention", self.attention, ATTENTION)):
            if value not in allowed:
                raise UserError(unknown(f"shape.{key}", value, allowed))
        for key in ("width", "layers", "heads", "context"):
            if (number := getattr(self, key)) < 1:
                raise UserError(f"shape.{key}={number}: expected 1 or more")
        if self.width % (2 * self.heads):
            raise UserError(f"shape.width={self.width}: expected a multiple of 2 · shape.heads = {2 * self.heads}")


class Linear(nn.Linear):
    """A linear map whose last bits do not depend on the number of rows: products of few take another path in the BLAS.

    (MusicGen's passes have two halves, so theirs are never as small.)
    """

    def forward(self, input: Float[Tensor, "*position in"]) -> Float[Tensor, "*position out"]:
        lacking = _LEAST_ROWS - input[..., 0].numel()
        if lacking <= 0:
            return super().forward(input)
        flat = nn.functional.pad(input.flatten(0, -2), (0, 0, 0, lacking))
        return super().forward(flat)[:-lacking].unflatten(0, input.shape[:-1])


class LayerCache:
    """Keys and values of the positions so far, ``[row, head, position, d_head]``."""

    def __init__(self) -> None:
        self._kept: tuple[Tensor, Tensor] | None = None

    def grown(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """With those of further positions."""
        if self._kept is not None:
            k, v = torch.cat([self._kept[0], k], 2), torch.cat([self._kept[1], v], 2)
        self._kept = k, v
        return k, v


@dataclass(frozen=True)
class Pairs:
    """What attention knows of the pairs of a pass: which line of each table each has; ``hidden`` the later keys."""

    lines: Sequence[Lines]
    hidden: Tensor | None = None


def module_name(point: str) -> str:
    """A hook point as a name that modules can have."""
    return point.replace(".", "_")


class Layer(nn.Module):
    """Attention and an MLP. Every hook point is an identity module in ``points``."""

    def __init__(self, shape: Shape, relations: Relations) -> None:
        super().__init__()
        width = shape.width
        self.heads, self.relations = shape.heads, relations
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = Linear(width, 3 * width), Linear(width, width, bias=False)
        self.up, self.down = Linear(width, 4 * width), Linear(4 * width, width)
        self.dropout = nn.Dropout(shape.dropout)
        self.points = nn.ModuleDict({module_name(point): nn.Identity() for point in DECODER_POINTS})

    def at(self, point: str, value: Tensor) -> Tensor:
        """A value as it leaves its hook point."""
        return self.points[module_name(point)](value)

    def forward(
        self,
        x: Float[Tensor, "row query width"],
        pairs: Pairs,
        tables: Sequence[Table],
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "row query width"]:
        x = self.at("resid_pre", x)
        x = self.at(
            "resid_mid", x + self.dropout(self.at("attn_out", self._attend(self.norm1(x), pairs, tables, cache)))
        )
        inner = nn.functional.gelu(self.up(self.norm2(x)))
        return self.at("resid_post", x + self.dropout(self.at("mlp_out", self.down(inner))))

    def _attend(self, x: Tensor, pairs: Pairs, tables: Sequence[Table], cache: LayerCache | None) -> Tensor:
        parts = zip(IN_ATTENTION, self.qkv(x).chunk(3, -1), strict=False)
        q, k, v = (
            self.at(f"attn.{name}", part).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name, part in parts
        )
        if cache is not None:
            k, v = cache.grown(k, v)
        mixed = attend(q, k, v, pairs, tables, self.relations.scale, self._seen)
        return self.out(self.at("attn.z", mixed.transpose(1, 2).flatten(2)))

    def _seen(self, pattern: Float[Tensor, "row head query key"]) -> Float[Tensor, "row head query key"]:
        """The pattern through its hook, which is one of single steps."""
        return self.at("attn.pattern", pattern[:, :, 0])[:, :, None] if pattern.shape[2] == 1 else pattern


def attend(
    q: Float[Tensor, "row head query d_head"],
    k: Float[Tensor, "row head key d_head"],
    v: Float[Tensor, "row head key d_head"],
    pairs: Pairs,
    tables: Sequence[Table],
    scale: float,
    seen: Callable[[Tensor], Tensor] = lambda pattern: pattern,
) -> Float[Tensor, "row head query d_head"]:
    """``softmax((q·k + scale · Σ q·table[line]) / √d_head) v``; the weights go through ``seen``."""
    q = q / math.sqrt(q.shape[-1])
    logits = logits_with_relations(q, k, tables, pairs.lines, scale)
    if pairs.hidden is not None:
        logits = logits.masked_fill_(pairs.hidden, -torch.inf)
    return seen(logits.softmax(-1)) @ v


class Decoder(nn.Module):
    """From control tokens and frames to logits of the next frame.

    A frame enters as the sum of its codebooks' embeddings and its bar's; plain attention, which knows no distances,
    adds the sinusoids of its number (Vaswani et al. 2017).
    """

    def __init__(self, shape: Shape, grid: Grid) -> None:
        super().__init__()
        shape.check()
        self.shape, self.grid = shape, grid
        self.tokens = KINDS[shape.tokens](grid)
        self.card = max(self.tokens.sizes)
        self.controls = nn.ModuleList(nn.Embedding(1 + len(words), shape.width) for words in ATTRIBUTES.values())
        self.codebooks = nn.ModuleList(nn.Embedding(self.card, shape.width) for _ in range(self.tokens.n_codebooks))
        self.bars = nn.Embedding(grid.bars + 1, shape.width)
        for table in (*self.controls, *self.codebooks, self.bars):
            nn.init.normal_(table.weight, std=0.3)  # pyright: ignore[reportArgumentType]
        relations, context = ATTENTION[shape.attention], N_CONTROLS + shape.context
        self.layers = nn.ModuleList(
            Layer(shape, relations(grid, context, shape.width, shape.heads)) for _ in range(shape.layers)
        )
        self.norm = nn.LayerNorm(shape.width)
        self.heads = nn.ModuleList(Linear(shape.width, self.card) for _ in range(self.tokens.n_codebooks))
        for layer in self.blocks:  # branches that add little at first
            for last in (layer.out, layer.down):
                nn.init.normal_(last.weight, std=0.02 / math.sqrt(2 * shape.layers))
        self.forbid()

    @torch.no_grad()
    def forbid(self) -> None:
        """Give tokens that a codebook does not use no chance."""
        for head, size in zip(self.unembeddings, self.tokens.sizes, strict=True):
            head.weight[size:] = 0.0
            head.bias[size:] = _NEVER

    @property
    def blocks(self) -> list[Layer]:
        """The layers, with their type."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @property
    def unembeddings(self) -> list[Linear]:
        """The heads that give logits, one for each codebook."""
        return [head for head in self.heads if isinstance(head, Linear)]

    def places(self, tokens: Int[Tensor, "row codebook frame"]) -> Places:
        """Where the control tokens and the frames stand."""
        return self.tokens.places(tokens).after(N_CONTROLS)

    def embed_controls(self, controls: Int[Tensor, "row control"]) -> Float[Tensor, "row control width"]:
        """A position for each control token."""
        return torch.stack([table(controls[:, at]) for at, table in enumerate(self.controls)], 1)

    def embed_frames(self, tokens: Int[Tensor, "row codebook frame"]) -> Float[Tensor, "row frame width"]:
        """A position for each frame: the sum of its codebooks' embeddings."""
        return torch.stack([table(tokens[:, at]) for at, table in enumerate(self.codebooks)]).sum(0)

    def placed(self, x: Float[Tensor, "row position width"], places: Places) -> Float[Tensor, "row position width"]:
        """What enters the first layer: the embeddings, with where they stand."""
        x = x + self.bars(places.bar)
        return x + _sinusoids(places.index, x.shape[-1]) if self.shape.attention == "plain" else x

    def tables(self) -> list[list[Table]]:
        """The relations' tables of each layer."""
        return [layer.relations.tables() for layer in self.blocks]

    def pairs(self, query: Places, key: Places) -> Pairs:
        """What attention knows of these queries and keys; keys later than a query are hidden."""
        lines = self.blocks[0].relations.lines(query, key)
        hidden = key.index[:, None, None] > query.index[:, None, :, None] if query.index.shape[1] > 1 else None
        return Pairs(lines, hidden)

    def forward(
        self, controls: Int[Tensor, "row control"], tokens: Int[Tensor, "row codebook frame"]
    ) -> Float[Tensor, "row codebook frame card"]:
        """Teacher-forced: the logits of each frame, given the controls and the frames before it."""
        before = tokens[..., :-1]
        places = self.places(before)
        embedded = torch.cat([self.embed_controls(controls), self.embed_frames(before)], 1)
        x, pairs = self.placed(embedded, places), self.pairs(places, places)
        for layer, tables in zip(self.blocks, self.tables(), strict=True):
            x = layer(x, pairs, tables)
        normed = self.norm(x[:, N_CONTROLS - 1 :])
        return torch.stack([head(normed) for head in self.unembeddings], 1)


def _sinusoids(index: Int[Tensor, "row position"], width: int) -> Float[Tensor, "row position width"]:
    rate = torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2, device=index.device) / width)
    angle = index[..., None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
