"""The language-model stage of musicgen-tiny-long; as it trains, it says what returns cost and what new sections do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from audiocraft.models.lm import LMModel
from audiocraft.modules.conditioners import ConditioningAttributes
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.structure.pieces.annotated import Kind
from mech_music.tiny import language_model, loop
from mech_music.tiny.config import LoopConfig
from mech_music.tiny.language_model import Lesson, LossOf, Texts
from mech_music.tiny.long.attention import in_bfloat16
from mech_music.tiny.long.composition import BEAT_FRAMES, BEATS, FRAMES, HELD_OUT, Piece, compose, truth
from mech_music.tiny.long.config import LongConfig
from mech_music.tiny.long.data import Workspace, first_vocabulary
from mech_music.tiny.long.forms import HINTED, TOLD

FIRST_LENGTH, UNTOLD_LENGTH, FORM_LENGTH = 8, 6, 11
"""Tokens of a prompt, its end included: in training's first stages, of pieces whose form is not told, of told ones."""


def encoded(model: LMModel, prompts: Sequence[str]) -> dict[str, Any]:
    """Prompts as the model's text conditions."""
    attributes = [ConditioningAttributes(text={"description": prompt}) for prompt in prompts]
    return model.condition_provider(model.condition_provider.tokenize(attributes))


def logits_of(
    model: LMModel, codes: Int[Tensor, "row codebook frame"], text: dict[str, Any]
) -> Float[Tensor, "row codebook frame token"]:
    """Of every code given those before it, as the delay has them: codebook k is predicted k steps late."""
    rows, n_codebooks, frames = codes.shape
    steps = torch.full((rows, n_codebooks, frames + n_codebooks), model.special_token_id)
    for book in range(n_codebooks):
        steps[:, book, book + 1 : book + 1 + frames] = codes[:, book]
    logits = model(steps[:, :, :-1], [], text)
    return torch.stack([logits[:, book, book : book + frames] for book in range(n_codebooks)], dim=1)


def loss_of(model: LMModel, codes: Int[Tensor, "row codebook frame"], text: dict[str, Any]) -> Float[Tensor, ""]:
    """Mean cross-entropy of codes, in nats a token."""
    logits = logits_of(model, codes, text)
    each = [logits[:, book].flatten(0, 1).float() for book in range(codes.shape[1])]
    return torch.stack([F.cross_entropy(own, codes[:, book].flatten()) for book, own in enumerate(each)]).mean()


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


def texts_of(config: LongConfig, lessons: Sequence[Lesson] = ()) -> Texts:
    """The prompts of all pieces that are trained on."""
    prompts = [compose(number).first_prompt for number in range(config.pieces.train)]
    return Texts(prompts, first_vocabulary(), {FIRST_LENGTH: 1.0}, lessons)


def rearranged(config: LongConfig) -> Lesson:
    """Half of a batch's pieces have their sections in another order, and half are loops."""
    pieces = [compose(number) for number in range(config.pieces.train)]

    def change(codes: Tensor, rows: Int[np.ndarray, " row"], random: np.random.Generator) -> Tensor:
        changed = [
            looped(one, pieces[row], FRAMES, BEATS, random) if at % 2 else repeated(one, pieces[row], random)
            for at, (one, row) in enumerate(zip(codes, rows, strict=True))
        ]
        return torch.stack(changed)

    return Lesson(config.rearranged, range(len(pieces)), change)


def more_returns(config: LongConfig) -> Lesson:
    """Half of a batch's pieces as they are. Of the others, told ones have exact returns only, in the form that is told;
    blind ones have their sections in another order; hinted ones are as they are, so that their cadences stay true."""
    pieces = [compose(number) for number in range(config.pieces.train)]

    def change(codes: Tensor, rows: Int[np.ndarray, " row"], random: np.random.Generator) -> Tensor:
        changed = [
            one if at % 2 or pieces[row].regime == HINTED else repeated(one, pieces[row], random, True)
            for at, (one, row) in enumerate(zip(codes, rows, strict=True))
        ]
        return torch.stack(changed)

    return Lesson(config.more_returns, range(len(pieces)), change)


def told_exactly(config: LongConfig) -> Lesson:
    """Told and hinted pieces; told ones have exact returns only, so that nothing but the prompt decides what comes."""
    pieces = [compose(number) for number in range(config.pieces.train)]
    rows = [at for at, piece in enumerate(pieces) if piece.regime in (TOLD, HINTED)]

    def change(codes: Tensor, rows: Int[np.ndarray, " row"], random: np.random.Generator) -> Tensor:
        changed = [
            repeated(one, pieces[row], random, True) if pieces[row].regime == TOLD else one
            for one, row in zip(codes, rows, strict=True)
        ]
        return torch.stack(changed)

    return Lesson(config.told_exactly, rows, change)


def repeated(
    codes: Int[Tensor, "codebook frame"], piece: Piece, random: np.random.Generator, keep_told: bool = False
) -> Int[Tensor, "codebook frame"]:
    """A piece's tokens with its sections in another order; after the first, five of six are earlier ones again.

    ``keep_told``: of a told piece, every section is the first one of its letter.
    """
    n, size = len(piece.sections), piece.annotated[0].end
    order = [0]
    for at in range(1, n):
        chance = random.random()
        order.append(
            order[-1] if chance < 0.25 else order[random.integers(at)] if chance < 0.83 else int(random.integers(n))
        )
    if keep_told and piece.regime == TOLD:
        order = [piece.form.index(letter) for letter in piece.form[:n]]
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
    """The language-model stage, from what loops have taught."""
    config = workspace.config
    settings, texts = config.language_model.loop, texts_of(config, [rearranged(config)])
    train(workspace, "language_model", settings, texts, loss_of, workspace.load_tensors("loops"))


def run_refined(workspace: Workspace) -> None:
    """The stage ``refined``: the same model once more, from a high learning rate again."""
    config = workspace.config
    texts, start = texts_of(config, [more_returns(config)]), workspace.load_tensors("language_model")
    train(workspace, "refined", config.refined, texts, loss_of, start)


def run_told(workspace: Workspace) -> None:
    """The stage ``told``: a last time, beginning with the forms that prompts name."""
    config = workspace.config
    texts, start = texts_of(config, [told_exactly(config)]), workspace.load_tensors("refined")
    train(workspace, "told", config.told, texts, loss_of, start)


def train(
    workspace: Workspace,
    stage: str,
    settings: LoopConfig,
    texts: Texts,
    loss: LossOf,
    start: Mapping[str, Tensor] | None = None,
) -> None:
    """Train one stage of the language model, from given weights or new ones, and seal it."""
    torch.set_num_threads(1)  # products of matrices this small are no faster on two
    config, codes = workspace.config, workspace.load_tensors("codes")
    model = language_model.build(workspace, config, first_vocabulary())
    if start is not None:
        model.load_state_dict(start)
    how = (settings.batch, config.language_model.condition_dropout)
    trainer = language_model.Trainer(workspace, model, stage, how, codes["train"], texts, in_bfloat16, loss)
    loop.train(workspace, stage, model, settings, trainer.loss, lambda: watched(model, codes["watched"], first=True))
    workspace.save_tensors(stage, model.state_dict())


def watched(model: LMModel, codes: Int[Tensor, "piece codebook frame"], first: bool = False) -> str:
    """What sections of each kind cost in held-out pieces. ``first``: under the prompts of training's first stages."""
    pieces = [compose(HELD_OUT + number) for number in range(len(codes))]
    model.eval()
    with in_bfloat16():
        nats = losses(model, codes, [piece.first_prompt if first else piece.prompt for piece in pieces])
    model.train()
    said = []
    for tempo in BEAT_FRAMES:
        rows = [row for row, piece in enumerate(pieces) if piece.tempo == tempo]
        costs = by_kind([pieces[row] for row in rows], nats[rows].sum(1))
        said.append(f"{tempo}: " + ", ".join(f"{kind} {cost:.2f}" for kind, cost in costs.items()))
    return "nats a frame; " + "; ".join(said)
