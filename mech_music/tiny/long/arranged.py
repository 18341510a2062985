"""The stage ``forms``: pieces put together anew from their own sections, under a prompt that says which returns where.
Then the stage ``corrected``: the same pieces, read with wrong tokens.

What a prompt announces decides a section's first beat alone (from then on the section can be heard), one frame in
twenty, and of its first stages the model had learnt to copy but not to use any announcement. So here first beats weigh
more, every piece has a form of its own, and pieces of one tempo come first, whose sections begin at the same frames.

A model that has only read what is right loses its place when it has drawn one wrong token. So in ``corrected`` returns
of such pieces are read with other frames in them, or with another section's beginning, and what is to be told is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from audiocraft.models.lm import LMModel
from jaxtyping import Float, Int
from torch import Tensor

from mech_music.tiny import language_model as shared
from mech_music.tiny import loop, text_encoder
from mech_music.tiny.long.attention import in_bfloat16
from mech_music.tiny.long.composition import Piece, compose, prompt_of, said
from mech_music.tiny.long.config import FormsConfig
from mech_music.tiny.long.data import Workspace, vocabulary
from mech_music.tiny.long.forms import MOST, TOLD
from mech_music.tiny.long.language_model import FORM_LENGTH, UNTOLD_LENGTH, logits_of, watched

_UNTOLD = 0.15  # share of batches without told pieces
_FRESH = 0.4  # share of sections that are new, while there are any
_LONGEST = 4  # frames that are wrong in a row
_ONE_BOOK, _FALSE_START = 0.5, 0.4  # shares: of wrong frames in one codebook only, of returns that begin wrong


@dataclass(frozen=True)
class Example:
    """A piece's tokens, as they are and as they are read; the prompt; how much each frame counts."""

    codes: Int[Tensor, "codebook frame"]
    read: Int[Tensor, "codebook frame"]
    prompt: str
    weights: Float[Tensor, " frame"]


def arrangement(piece: Piece, random: np.random.Generator) -> tuple[list[int], list[int]]:
    """Which of the piece's sections is played at each place, and which place each is the same as (itself: new)."""
    order, like = [0], [0]
    for place in range(1, len(piece.sections)):
        played = [piece.sections[number].music for number in order]
        fresh = [number for number, one in enumerate(piece.sections) if one.music not in played]
        if fresh and random.random() < _FRESH:
            order.append(int(random.choice(fresh)))
            like.append(place)
        else:
            source = int(random.choice(sorted(set(like))))
            order.append(order[source])
            like.append(source)
    for place in range(len(order), MOST):  # which the piece is too short for
        like.append(int(random.choice([*sorted(set(like)), place])))
    return order, like


def arranged(
    codes: Int[Tensor, "codebook frame"], piece: Piece, random: np.random.Generator
) -> tuple[Int[Tensor, "codebook frame"], str, list[int]]:
    """A piece's tokens in an order of their own, the prompt that says so, and which of its sections is where."""
    order, like = arrangement(piece, random)
    size = piece.annotated[0].end
    sections = [codes[:, number * size : (number + 1) * size] for number in order]
    prompt = prompt_of(piece.tempo, piece.instrument, said(like))
    return torch.cat([*sections, codes[:, len(order) * size :]], dim=1), prompt, order


def misread(
    codes: Int[Tensor, "codebook frame"],
    sections: Sequence[int],
    size: int,
    wrong: float,
    random: np.random.Generator,
) -> Int[Tensor, "codebook frame"]:
    """Tokens with frames from elsewhere in the piece in every section that was heard before; new ones stay as they are.

    ``sections``: what is played at each place, of ``size`` frames each. ``wrong``: the share of frames at which
    something wrong begins.
    """
    read, books = codes.clone(), codes.shape[0]
    for place, one in enumerate(sections):
        if one not in sections[:place]:
            continue
        start, others = place * size, [at for at, other in enumerate(sections) if other != one]
        if others and random.random() < _FALSE_START:
            length, other = int(random.integers(1, size // 2)), int(random.choice(others)) * size
            read[:, start : start + length] = codes[:, other : other + length]
        for first in np.flatnonzero(random.random(size) < wrong):
            length = int(min(random.integers(1, _LONGEST + 1), size - first))
            source = int(random.integers(len(sections) * size - length))
            book = int(random.integers(books)) if random.random() < _ONE_BOOK else None
            here = slice(book, None if book is None else book + 1)
            read[here, start + first : start + first + length] = codes[here, source : source + length]
    return read


class Trainer:
    """Draws batches and computes the loss of a step."""

    def __init__(
        self,
        workspace: Workspace,
        stage: str,
        how: FormsConfig,
        model: LMModel,
        codes: Int[Tensor, "piece codebook frame"],
    ) -> None:
        config = workspace.config
        self.stage, self.how, self.model, self.codes, self.seed = stage, how, model, codes, workspace.seed
        self.condition_dropout = config.language_model.condition_dropout
        self.pieces = [compose(number) for number in range(config.pieces.train)]
        self.first = [at for at, piece in enumerate(self.pieces) if piece.tempo == self.how.first_tempo]
        self.untold = [at for at, piece in enumerate(self.pieces) if piece.regime != TOLD]
        self.tokenizer = text_encoder.make_tokenizer(vocabulary())

    def loss(self, step: int) -> Float[Tensor, ""]:
        """Weighted mean cross-entropy, nats a token."""
        random = loop.generator(self.seed, self.stage, step)
        first = step < self.how.first_steps
        untold = not first and random.random() < _UNTOLD
        as_it_is = 0.0 if first else 1.0 if untold else self.how.as_it_is
        rows = self.first if first else self.untold if untold else range(len(self.pieces))
        batch = [self._example(int(row), as_it_is, random) for row in random.choice(rows, self.how.loop.batch)]
        dropped = random.random(len(batch)) < self.condition_dropout
        prompts = ["" if no else one.prompt for one, no in zip(batch, dropped, strict=True)]
        codes, read = (torch.stack(each) for each in zip(*((one.codes, one.read) for one in batch), strict=True))
        weights = torch.stack([one.weights for one in batch])[:, None].expand(codes.shape)
        with in_bfloat16():
            text = self._text(prompts, UNTOLD_LENGTH if untold else FORM_LENGTH)
            logits = logits_of(self.model, read, text)
            nats = F.cross_entropy(logits.flatten(0, 2).float(), codes.flatten(), reduction="none").view(codes.shape)
            return (nats * weights).sum() / weights.sum()

    def _example(self, row: int, as_it_is: float, random: np.random.Generator) -> Example:
        """``as_it_is``: the probability that the piece is not put together anew."""
        piece, codes = self.pieces[row], self.codes[row].long()
        read, prompt = codes, piece.prompt
        if random.random() >= as_it_is:
            codes, prompt, order = arranged(codes, piece, random)
            wrong = self.how.wrong
            read = misread(codes, order, piece.annotated[0].end, wrong, random) if wrong else codes
        weights = torch.ones(codes.shape[1])
        for section in piece.annotated[1:]:
            weights[section.start : section.start + self.how.first_frames] = self.how.weight
        return Example(codes, read, prompt, weights)

    def _text(self, prompts: list[str], length: int) -> dict[str, Tensor]:
        ids, mask = torch.zeros(2, len(prompts), length, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            if prompt:
                own = self.tokenizer(prompt)["input_ids"]
                ids[row, : len(own)], mask[row, : len(own)] = torch.tensor(own), 1
        return self.model.condition_provider({"description": {"input_ids": ids, "attention_mask": mask}})


def run(workspace: Workspace) -> None:
    """The stage ``forms``; words of the vocabulary that prompts had no more before are other ones now."""
    _run(workspace, "forms", "told", workspace.config.forms)


def run_corrected(workspace: Workspace) -> None:
    """The stage ``corrected``."""
    _run(workspace, "corrected", "forms", workspace.config.corrected)


def _run(workspace: Workspace, stage: str, before: str, how: FormsConfig) -> None:
    torch.set_num_threads(1)
    codes = workspace.load_tensors("codes")
    model = shared.build(workspace, workspace.config, vocabulary())
    model.load_state_dict(workspace.load_tensors(before))
    trainer = Trainer(workspace, stage, how, model, codes["train"])
    loop.train(workspace, stage, model, how.loop, trainer.loss, lambda: watched(model, codes["watched"]))
    workspace.save_tensors(stage, model.state_dict())
