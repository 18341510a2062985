"""The language-model stage of musicgen-tiny-long; as it trains, it says what returns cost and what new sections do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from audiocraft.models.lm import LMModel
from audiocraft.modules.conditioners import ConditioningAttributes
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.structure.annotated import Kind
from mech_music.tiny import language_model
from mech_music.tiny.language_model import Lesson, Texts
from mech_music.tiny.long.attention import in_bfloat16
from mech_music.tiny.long.composition import BEAT_FRAMES, BEATS, FRAMES, HELD_OUT, Piece, compose, truth
from mech_music.tiny.long.config import LongConfig
from mech_music.tiny.long.data import Workspace, vocabulary

PROMPT_LENGTH = 8
"""Tokens of every prompt, its end included."""


def encoded(model: LMModel, prompts: Sequence[str]) -> dict[str, Any]:
    """Prompts as the model's text conditions."""
    attributes = [ConditioningAttributes(text={"description": prompt}) for prompt in prompts]
    return model.condition_provider(model.condition_provider.tokenize(attributes))


def loss_of(model: LMModel, codes: Int[Tensor, "row codebook frame"], text: dict[str, Any]) -> Float[Tensor, ""]:
    """Mean cross-entropy of codes in nats a token, as the delay has them: codebook k is predicted k steps late."""
    rows, n_codebooks, frames = codes.shape
    steps = torch.full((rows, n_codebooks, frames + n_codebooks), model.special_token_id)
    for book in range(n_codebooks):
        steps[:, book, book + 1 : book + 1 + frames] = codes[:, book]
    logits = model(steps[:, :, :-1], [], text)
    each = [logits[:, book, book : book + frames].flatten(0, 1).float() for book in range(n_codebooks)]
    return torch.stack([F.cross_entropy(each[book], codes[:, book].flatten()) for book in range(n_codebooks)]).mean()


@torch.no_grad()
def losses(
    model: LMModel, codes: Int[Tensor, "row codebook frame"], prompts: Sequence[str], batch: int = 16
) -> Float[np.ndarray, "row codebook frame"]:
    """Negative log-likelihood of every code given all before it, in nats; in the delay's order."""
    found = []
    for start in range(0, len(codes), batch):
        rows = slice(start, start + batch)
        loss, _ = language_model.token_losses(model, codes[rows].long(), encoded(model, prompts[rows]))
        found.append(loss.numpy())
    return np.concatenate(found)


def by_kind(pieces: Sequence[Piece], nats: Float[np.ndarray, "piece frame"]) -> dict[str, float]:
    """Nats a frame in the sections of each kind; those of first sections, and of cadences, are left out."""
    sums = {kind: np.zeros(2) for kind in Kind}
    for piece, one in zip(pieces, nats, strict=True):
        facts = truth(piece)
        for index, kind in enumerate(Kind):
            here = (facts["kind"] == index) & (facts["section"] > 0) & (facts["cadence"] == 0)
            sums[kind] += one[here].sum(), here.sum()
    return {kind.value: total / max(count, 1) for kind, (total, count) in sums.items()}


def texts_of(config: LongConfig, rearranged_until: int) -> Texts:
    """The prompts of all pieces that are trained on.

    Before that step, half of a batch's pieces have their sections in another order, and half are loops.
    """
    pieces = [compose(number) for number in range(config.pieces.train)]

    def rearrange(codes: Tensor, rows: Int[np.ndarray, " row"], random: np.random.Generator) -> Tensor:
        changed = [
            looped(one, pieces[row], FRAMES, BEATS, random) if at % 2 else repeated(one, pieces[row], random)
            for at, (one, row) in enumerate(zip(codes, rows, strict=True))
        ]
        return torch.stack(changed)

    lessons = (Lesson(rearranged_until, range(len(pieces)), rearrange),)
    return Texts([piece.prompt for piece in pieces], vocabulary(), {PROMPT_LENGTH: 1.0}, lessons)


def repeated(
    codes: Int[Tensor, "codebook frame"], piece: Piece, random: np.random.Generator
) -> Int[Tensor, "codebook frame"]:
    """A piece's tokens with its sections in another order; after the first, five of six are earlier ones again."""
    n, size = len(piece.sections), piece.annotated[0].end
    order = [0]
    for at in range(1, n):
        chance = random.random()
        order.append(
            order[-1] if chance < 0.25 else order[random.integers(at)] if chance < 0.83 else int(random.integers(n))
        )
    sections = [codes[:, number * size : (number + 1) * size] for number in order]
    return torch.cat([*sections, codes[:, n * size :]], dim=1)


def looped(
    codes: Int[Tensor, "codebook frame"], piece: Piece, frames: int, most: int, random: np.random.Generator
) -> Int[Tensor, "codebook {frames}"]:
    """Two to ``most`` beats from somewhere in a piece, over and over."""
    beats = int(random.integers(2, most + 1))
    start, length = int(random.choice(piece.beats[: 1 - beats])), beats * piece.beat
    return codes[:, start : start + length].repeat(1, -(-frames // length))[:, :frames]


def run(workspace: Workspace) -> None:
    """The language-model stage."""
    config, codes = workspace.config, workspace.load_tensors("codes")
    pieces = [compose(HELD_OUT + number) for number in range(len(codes["watched"]))]
    asked = [piece.prompt for piece in pieces]

    def watch(model: LMModel) -> str:
        model.eval()
        with in_bfloat16():
            nats = losses(model, codes["watched"], asked)
        model.train()
        said = []
        for tempo in BEAT_FRAMES:
            rows = [row for row, piece in enumerate(pieces) if piece.tempo == tempo]
            costs = by_kind([pieces[row] for row in rows], nats[rows].sum(1))
            said.append(f"{tempo}: " + ", ".join(f"{kind} {cost:.2f}" for kind, cost in costs.items()))
        return "nats a frame; " + "; ".join(said)

    torch.set_num_threads(1)  # products of matrices this small are no faster on two
    texts, start = texts_of(config, config.rearranged), workspace.load_tensors("loops")
    language_model.fit(workspace, config, codes["train"], texts, in_bfloat16, loss_of, watch, start)
