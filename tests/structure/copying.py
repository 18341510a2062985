"""A generator whose copying is known: one attention head, written by hand, attends to where the current token was
before and gives the token that came next; two heads beside it look elsewhere and write nothing.

A position knows its own token and the one before it (as if a layer below had told it). Within a piece tokens are
unique but for returns, so there the head finds its place, and in new music it rests at the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mech_music.base.errors import UserError
from mech_music.config.schema import ModelConfig
from mech_music.models.handle import LoadedModel
from mech_music.models.protocol import Generator
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind, Section
from tests.second_generator import Layer, SecondGenerator

CARD, LENGTH, N_FRAMES = 40, 6, 30
COPIES, ITSELF, IDLE = 0, 1, 2  # heads
_SHARP = 40.0


class _WithPrevious(nn.Module):
    """``[this token, the one before, nothing]`` as one-hots; the special token begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self._before = torch.empty(0)

    def forward(self, token: Tensor) -> Tensor:
        if bool((token == CARD).all()):
            self._before = token
        one_hot = nn.functional.one_hot(torch.stack([token, self._before]), CARD + 1).float()
        self._before = token
        return torch.cat([one_hot[0], one_hot[1], torch.zeros_like(one_hot[0])], -1)


class CopyingGenerator(SecondGenerator):
    """One layer, three heads; without a match the next token is as good as any."""

    card, special_token, d_model, n_heads = CARD, CARD, 3 * (CARD + 1), 3

    def __init__(self) -> None:
        super().__init__(n_layers=1)
        self.fingerprint, self.tokens = "copying", _WithPrevious()  # type: ignore[assignment]
        size, layer = CARD + 1, self.layers[0]
        assert isinstance(layer, Layer)
        for weight in (layer.qkv.weight, layer.qkv.bias, layer.out.weight, layer.up.weight, layer.up.bias,
                       layer.down.weight, layer.down.bias, self.head.weight, self.head.bias):  # fmt: skip
            weight.data.zero_()
        q, k, v = layer.qkv.weight.data.unflatten(0, (3, 3, size)).unbind()
        this, before, said = (slice(part * size, (part + 1) * size) for part in range(3))
        eye = torch.eye(size)
        q[COPIES][:, this], k[COPIES][:, before], v[COPIES][:, this] = _SHARP * eye, eye, eye
        q[ITSELF][:, this], k[ITSELF][:, this], v[ITSELF][:, this] = _SHARP * eye, eye, eye
        # At rest where the music starts, unless there is a match: nothing is said there.
        layer.qkv.bias.data.unflatten(0, (3, 3, size))[0][COPIES][CARD] = 0.4 * _SHARP
        k[COPIES][CARD], v[COPIES][CARD] = 0.0, 0.0
        k[COPIES][CARD, CARD] = 1.0
        layer.out.weight.data[said, :size] = eye
        self.head.weight.data[:, said] = eye[:CARD]

    def _text(self, prompts: Sequence[str]) -> Tensor:
        return torch.zeros(len(prompts), self.d_model)


class CopiedPieces:
    """Five sections of six tokens: new, new, a return of either, new, and a return of the second or a decoy."""

    def __init__(self, of_card: int = CARD, returning: bool = True, tracks: int | None = None) -> None:
        self.id = f"copied {of_card} {returning} {tracks}"
        self._card, self._returning, self._tracks = of_card, returning, tracks

    @classmethod
    def from_run(cls, run: object) -> CopiedPieces:
        return cls()

    def load(self, n: int, generator: Generator) -> list[AnnotatedPiece]:
        if n > 100:
            raise UserError("too many")
        return [self._piece(number) for number in range(n)]

    def _piece(self, number: int) -> AnnotatedPiece:
        fresh = np.random.default_rng(number).permutation(self._card).reshape(-1)[: 5 * LENGTH].reshape(5, LENGTH)
        music = list(fresh)
        kinds: list[tuple[Kind, int | None]] = [(Kind.new, None)] * 5
        if self._returning:
            kinds[2], kinds[4] = (Kind.exact, number % 2), (Kind.decoy, 1) if number % 3 else (Kind.exact, 1)
            for place in (2, 4):
                if (source := kinds[place][1]) is not None and kinds[place][0] is Kind.exact:
                    music[place] = music[source]
        sections = tuple(
            Section(place * LENGTH, (place + 1) * LENGTH, kind, source) for place, (kind, source) in enumerate(kinds)
        )
        track = number % self._tracks if self._tracks else number
        return AnnotatedPiece(
            f"piece-{number}", f"{track}", "told" if number % 2 else "blind", "A tune.", 20.0, sections,
            tuple(range(0, N_FRAMES, 2)), np.concatenate(music)[None],
        )  # fmt: skip


class CopyingModel(LoadedModel):
    """What a config may name as its model."""

    def __init__(self, config: ModelConfig, device: str, threads: int) -> None:
        super().__init__(CopyingGenerator(), config.name)
