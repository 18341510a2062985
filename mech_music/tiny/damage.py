"""``python -m mech_music.tiny.damage``: does the bundled classifier forgive damage?

It was trained on clips with wrong codes as well, so it may hear an instrument in what an edit has broken. The second
judge (`mech_music.tiny.judge`) has never heard a wrong code, the language model or the classifier. Where an edit makes
the two part more often than they do on unedited clips, one of them is misled; ``forgiven`` is the share of clips in
which the classifier hears what the prompt asks for and the judge does not, ``missed`` that in which the judge alone
does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table

from mech_music.base.errors import UserError, first_line
from mech_music.cli.explain import run_verb
from mech_music.edits.row import Edit, Mean, Row, Term
from mech_music.engine.engine import Engine
from mech_music.models.hooks import Component, Hook
from mech_music.models.musicgen.loading import load_model
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.tiny import bundle_dir, data
from mech_music.tiny.evaluate import Classes, EvaluateConfig, Subject, fit_judge
from mech_music.tiny.judge import describe

USAGE = """\
Do the bundled classifier and an independent judge hear edited clips alike? Beside unedited clips, with standard errors.

  python -m mech_music.tiny.damage

  clips=60                 of each kind of edit
  judge_clips=600          that the judge learns from
  seed=2024
"""
PAIRS = (("piano", "violin"), ("guitar", "trumpet"), ("violin", "piano"), ("trumpet", "guitar"))
MEAN_PROMPTS = 50
GROUPS = ("instrument", "genre")


@dataclass
class Wanted:
    """What the command line asks for."""

    clips: int = 60
    judge_clips: int = 600
    seed: int = 2024


@dataclass(frozen=True)
class Kind:
    """A kind of edit: zeros or the desired concept's mean in the place of one component's output in some layers."""

    word: str
    component: Component = Component.mlp
    layers: Sequence[int] = ()
    by_mean: bool = False

    def edits(self, desired: Concept) -> tuple[Edit, ...]:
        """Those of one clip."""
        mean = (Term(1.0, Mean(data.STUDY.prompts_of(desired, MEAN_PROMPTS))),) if self.by_mean else ()
        return tuple(Edit(Hook(layer, self.component.point).name, 0.0, mean) for layer in self.layers)


def kinds(n_layers: int) -> tuple[Kind, ...]:
    """From no edit to one that leaves little of the music."""
    every = range(n_layers)
    return (
        Kind("none"),
        Kind("cross-attention replaced, all layers", Component.ca, every, by_mean=True),
        Kind("MLP replaced, layer 3", layers=(3,), by_mean=True),
        Kind("MLP replaced, all layers", layers=every, by_mean=True),
        Kind("MLP silenced, layer 3", layers=(3,)),
        Kind("MLP silenced, all layers", layers=every),
    )


def asked(n: int) -> Iterator[tuple[Prompt, Concept]]:
    """Prompts in balanced order, pair by pair, each with the concept that it is edited towards."""
    for place in range(n):
        original, desired = (data.STUDY.concepts[name] for name in PAIRS[place % len(PAIRS)])
        yield data.STUDY.concept_prompts(original, n, in_balance=True)[place // len(PAIRS)], desired


def parted(wanted: Classes, heard: Classes, judged: Classes, group: str) -> dict[str, Bool[np.ndarray, " clip"]]:
    """Of each clip: whether the two part, and whether one of them alone hears what was asked for."""
    ours, theirs = heard[group] == wanted[group], judged[group] == wanted[group]
    return {"part": heard[group] != judged[group], "forgiven": ours & ~theirs, "missed": theirs & ~ours}


def measure(wanted: Wanted) -> Table:
    """Every kind of edit of the same prompts and seeds."""
    subject = Subject(bundle_dir())
    judge = fit_judge(EvaluateConfig(seed=wanted.seed, judge_clips=wanted.judge_clips), subject)
    model = load_model(path=str(bundle_dir()), device="cpu")
    engine = Engine.of(model, listeners={})
    prompts = list(asked(wanted.clips))
    classes = data.classes(prompt for prompt, _ in prompts)
    table = Table(
        title="Where classifier and second judge part, shares of clips ± standard error", title_justify="left"
    )
    for column in ("edit", "n", *(f"{group}: {what}" for group in GROUPS for what in ("part", "forgiven", "missed"))):
        table.add_column(column, justify="left" if column == "edit" else "right")
    for kind in kinds(model.n_layers):
        rows = [Row(prompt.text, place, kind.edits(desired)) for place, (prompt, desired) in enumerate(prompts)]
        audio, _ = engine.audio(rows)
        heard, judged = subject.hear(torch.from_numpy(audio)), judge.hear(describe(audio))
        found = [parted(classes, heard, judged, group) for group in GROUPS]
        table.add_row(kind.word, str(len(rows)), *(_share(share) for one in found for share in one.values()))
    return table


def _share(of: Bool[np.ndarray, " clip"]) -> str:
    p = float(of.mean())
    return f"{p:.2f} ± {np.sqrt(p * (1 - p) / len(of)):.2f}"


def parse(words: Sequence[str]) -> Wanted:
    """UserError for a word that cannot be read, and for too few clips."""
    try:
        found = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Wanted), OmegaConf.from_dotlist([*words])))
    except OmegaConfBaseException as error:
        raise UserError(f"{first_line(error)}: expected clips=, judge_clips= or seed= with a whole number") from error
    assert isinstance(found, Wanted)
    for name, least, most in (("clips", 8, 125), ("judge_clips", 50, 5000)):
        if not least <= (value := getattr(found, name)) <= most:
            raise UserError(f"{name}={value}: expected {least} to {most}")
    return found


def main(words: Sequence[str] | None = None) -> None:
    """Print the table. Exits with 1 and one line on stderr if that cannot be done."""
    run_verb(words, USAGE, _print)


def _print(words: Sequence[str], console: Console) -> None:
    console.print(measure(parse(words)))


if __name__ == "__main__":
    main()
