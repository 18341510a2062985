"""What musicgen-tiny-long has learnt: `python -m mech_music.tiny.long.evaluate` prints the tables of its model card.

Everything goes through the bundle that users load. Intervals are bootstrap-t over pieces, 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mech_music.base.errors import UserError, first_line
from mech_music.base.quiet import quiet_imports
from mech_music.cli.explain import run_verb
from mech_music.metrics.intervals import mean_interval
from mech_music.models.musicgen.bundled import long_bundle, register_t5, verify_bundle
from mech_music.structure.pieces.annotated import Kind
from mech_music.tiny import loop
from mech_music.tiny.long import announced, context, generation, language_model, short
from mech_music.tiny.long.composition import FRAME_RATE, FRAMES, HELD_OUT, Piece, compose, truth
from mech_music.tiny.long.config import LongConfig
from mech_music.tiny.long.data import Workspace
from mech_music.tiny.long.forms import BLIND, HINTED, REGIMES, TOLD
from mech_music.tiny.long.melody import Listener
from mech_music.tiny.long.ngram import NGram
from mech_music.tiny.long.sound import render

USAGE = """\
What musicgen-tiny-long has learnt of returns, on pieces that it was not trained on, with 95 % intervals.

  python -m mech_music.tiny.long.evaluate

  pieces=90                whose sections are judged after their true context and after another
  generated=48             pieces asked for by their form
  ngram=1500               training pieces that the n-gram baseline counts
  short=<folder>           a training of 4 s of context, to compare with (mech_music.tiny.long.short)
  guidance=1               of what is generated
  bundle=<folder>          another bundle than the package's
  seed=2024
"""
_FIRST = HELD_OUT + 10_000
"""Pieces below were watched in training."""


@dataclass
class Wanted:
    """What the command line asks for."""

    pieces: int = 90
    generated: int = 48
    ngram: int = 1500
    short: str = ""
    guidance: float = 1.0
    bundle: str = ""
    seed: int = 2024


class Subject:
    """The bundle under test."""

    def __init__(self, folder: Path) -> None:
        with quiet_imports():
            from audiocraft.models.musicgen import MusicGen
        register_t5(folder / "t5")
        with quiet_imports():
            self.model = MusicGen.get_pretrained(str(folder), device="cpu")
        vars(self.model.compression_model)["frame_rate"] = FRAME_RATE  # which audiocraft rounds down

    @torch.no_grad()
    def encode(self, audio: Float[np.ndarray, "piece sample"]) -> Int[Tensor, "piece codebook frame"]:
        """Tokens of pieces."""
        return self.model.compression_model.encode(torch.from_numpy(audio)[:, None])[0]

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "piece codebook frame"]) -> Float[np.ndarray, "piece sample"]:
        """Sound of tokens."""
        parts = [torch.as_tensor(self.model.compression_model.decode(part)) for part in codes.split(4)]
        return torch.cat(parts)[:, 0].numpy()

    def losses(
        self, codes: Int[Tensor, "row codebook frame"], prompts: Sequence[str]
    ) -> Float[np.ndarray, "row codebook frame"]:
        """Negative log-likelihoods, nats."""
        return language_model.losses(self.model.lm, codes, prompts)

    def generate(self, prompts: Sequence[str], guidance: float, seed: int) -> Int[Tensor, "piece codebook frame"]:
        """Whole pieces, in audiocraft's own way (top-k 250, temperature 1)."""
        self.model.set_generation_params(duration=FRAMES / FRAME_RATE, cfg_coef=guidance, top_k=250)
        torch.manual_seed(seed)
        parts = []
        for start in loop.tracked(range(0, len(prompts), 24), "generate"):
            attributes, _ = self.model._prepare_tokens_and_attributes(list(prompts[start : start + 24]), None)
            parts.append(self.model._generate_tokens(attributes, None))
        return torch.cat(parts)


def _shown(values: Sequence[float] | np.ndarray, seed: int, sign: str = "") -> str:
    """A mean and its interval; of nothing, a dash."""
    if not len(values):
        return "–"
    found = mean_interval(np.asarray(values, dtype=np.float64), 2000, 0.95, seed)
    return f"{found.mean:{sign}.2f} [{found.low:{sign}.2f}, {found.high:{sign}.2f}]"


def _by_piece(judged: Sequence[context.Judged], gain: bool, measure: int, kind: str, regime: str | None) -> list[float]:
    """A piece's mean over its sections of a kind; pieces without one are left out."""
    found: dict[int, list[float]] = {}
    for one in judged:
        if one.kind == kind and regime in (None, one.regime):
            value = (one.swapped - one.true if gain else one.true)[measure]
            found.setdefault(one.piece, []).append(float(value))
    return [float(np.mean(values)) for values in found.values()]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    return table


def likelihood(wanted: Wanted, judged: Sequence[context.Judged]) -> list[Table]:
    """What each kind of section costs, and what the true earlier section takes off that."""
    columns = ("kind", "n", *context.MEASURES)
    costs = _table("Cost of a section, nats: of a frame (first codebook, all) and of a note", *columns)
    gains = _table("How much more it costs after another section in the place of its source", *columns)
    regimes = _table("The same by regime, all codebooks", "kind", *REGIMES)
    for kind in Kind:
        for table, gain in ((costs, False), (gains, True)):
            values = [_by_piece(judged, gain, m, kind.value, None) for m in range(len(context.MEASURES))]
            n = sum(one.kind == kind.value for one in judged)
            table.add_row(kind.value, str(n), *(_shown(v, wanted.seed, "+" if gain else "") for v in values))
        within = [_by_piece(judged, True, 1, kind.value, regime) for regime in REGIMES]
        regimes.add_row(kind.value, *(_shown(values, wanted.seed, "+") for values in within))
    return [costs, gains, regimes]


def announcements(wanted: Wanted, subject: Subject, pieces: Sequence[Piece]) -> Table:
    """Whether the prompt's form, and cadences, are used."""
    found = list(announced.announced(pieces, subject.encode, subject.losses))
    table = _table(
        "How much more a section's first beat costs, nats a frame", "announcement replaced", "returns", "others"
    )
    rows = {TOLD: "told: the prompt names another form", HINTED: "hinted: the other cadence", BLIND: "blind: the same"}
    for regime, name in rows.items():
        values = [announced.gains(found, regime, returns) for returns in (True, False)]
        table.add_row(name, *(_shown(value, wanted.seed, "+") for value in values))
    return table


def baselines(wanted: Wanted, subject: Subject, pieces: Sequence[Piece]) -> Table:
    """Nats of a frame's first token under models without a memory, which were trained on the same pieces."""
    codes = torch.cat([subject.encode(render(piece)[None]) for piece in pieces])
    prompts = [piece.prompt for piece in pieces]
    nats = {"the model": subject.losses(codes, prompts)[:, 0]}
    if wanted.ngram:
        numbers = loop.tracked(range(wanted.ngram), "n-gram")
        seen = torch.cat([subject.encode(render(compose(number))[None])[:, 0] for number in numbers])
        for order in (2, 4, 8):
            model = NGram(order, subject.model.lm.card).fit(seen.numpy())
            nats[f"{order}-gram, {len(seen)} pieces"] = model.losses(codes[:, 0].numpy())
    if wanted.short:
        workspace = Workspace(LongConfig(folder=wanted.short))
        nats["trained with 4 s of context"] = short.losses(workspace, codes, [piece.first_prompt for piece in pieces])[
            :, 0
        ]
    table = _table("Nats of a frame's first token", "model", *(kind.value for kind in Kind))
    for name, found in nats.items():
        values = [_of_kind(pieces, found, kind) for kind in Kind]
        table.add_row(name, *(_shown(value, wanted.seed) for value in values))
    return table


def _of_kind(pieces: Sequence[Piece], nats: Float[np.ndarray, "piece frame"], kind: Kind) -> list[float]:
    found = []
    for piece, one in zip(pieces, nats, strict=True):
        sections = [n for n, section in enumerate(piece.sections) if n and section.kind is kind]
        frames = [context.judged_frames(piece, number)[0] for number in sections]
        if frames:
            found.append(float(one[np.any(frames, axis=0)].mean()))
    return found


def obedience(wanted: Wanted, subject: Subject) -> Table:
    """Told forms in what is generated; and how well the melody's listener hears pieces whose melody is known."""
    known = [compose(number) for number in range(120)]
    listener = Listener().fit(known, subject.decode(torch.cat([subject.encode(render(p)[None]) for p in known])))
    held = [compose(_FIRST + number) for number in range(24)]
    sounds = subject.decode(torch.cat([subject.encode(render(p)[None]) for p in held]))
    right = [
        float((listener.hear(p, sound).ravel() == truth(p)["melody"][list(p.beats)]).mean())
        for p, sound in zip(held, sounds, strict=True)
    ]
    pieces = generation.asked_for(wanted.generated, _FIRST + 1000)
    codes = subject.generate([piece.prompt for piece in pieces], wanted.guidance, wanted.seed)
    melodies = [listener.hear(piece, sound) for piece, sound in zip(pieces, subject.decode(codes), strict=True)]
    others = generation.other_forms(pieces)
    found = [generation.obeyed(*one) for one in zip(pieces, melodies, others, strict=True)]
    table = _table(f"{len(pieces)} pieces generated from told forms, guidance {wanted.guidance:g}", "what", "share")
    table.add_row("pitch heard right at a beat (held-out pieces, reconstructed)", _shown(right, wanted.seed))
    for name, values in (
        ("melodies of sections of one letter agree, beats", [one.same for one in found]),
        ("… of different letters", [one.other for one in found]),
        ("returns whose most alike earlier section has their letter", [one.right for one in found]),
        ("… had another form been asked for", [one.chance for one in found]),
        ("pieces with at least 80 % of returns right", [float(one.right >= 0.8) for one in found]),
    ):
        table.add_row(name, _shown(values, wanted.seed))
    return table


def tokens(wanted: Wanted, subject: Subject, pieces: Sequence[Piece]) -> Table:
    """How equal the tokens of equal music are."""
    table = _table("Tokens of exact returns that are their source's", "codebook", "all frames", "but the outermost")
    for name, shares in context.agreement(pieces, subject.encode).items():
        table.add_row(name, *(f"{share:.3f}" for share in shares))
    return table


def parse(words: Sequence[str]) -> Wanted:
    """UserError for a word that cannot be read, and for too few pieces."""
    try:
        found = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Wanted), OmegaConf.from_dotlist([*words])))
    except OmegaConfBaseException as error:
        raise UserError(f"{first_line(error)}; see python -m mech_music.tiny.long.evaluate --help") from error
    assert isinstance(found, Wanted)
    for name, least in (("pieces", 10), ("generated", 0), ("ngram", 0)):
        if (value := getattr(found, name)) < least:
            raise UserError(f"{name}={value}: expected at least {least}")
    return found


def _print(words: Sequence[str], console: Console) -> None:
    wanted = parse(words)
    subject = Subject(verify_bundle(Path(wanted.bundle or long_bundle()).resolve()))
    pieces = [compose(_FIRST + number) for number in range(wanted.pieces)]
    console.print(tokens(wanted, subject, pieces))
    for table in likelihood(wanted, list(context.judge(pieces, subject.encode, subject.losses))):
        console.print(table)
    console.print(announcements(wanted, subject, pieces))
    console.print(baselines(wanted, subject, pieces))
    if wanted.generated:
        console.print(obedience(wanted, subject))


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables. Exits with 1 and one line on stderr if that cannot be done."""
    run_verb(words, USAGE, _print)


if __name__ == "__main__":
    main()
