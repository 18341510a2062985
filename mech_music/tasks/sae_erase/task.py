"""Erasing a concept with the fewest features: those that tell it best are put to 0, the SAE's error is kept.

Beside as many random features that fire about as often. How AudioSAE counts features (the share of them that has to go
until a probe is at chance), here with what is heard of clips that the model makes meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pandas as pd

from mech_music.metrics.concepts import rivals
from mech_music.results.audio import Choice
from mech_music.results.tables import lines_of
from mech_music.tasks.sae.columns import told_of
from mech_music.tasks.sae.edited_clips import LIKELIHOOD, Clips
from mech_music.tasks.sae_erase.columns import SAE_ERASE
from mech_music.tasks.sae_erase.settings import SaeEraseSettings as Settings
from mech_music.tasks.sae_erase.trials import Trial, trials

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.edits.row import Row
    from mech_music.engine.engine import Answers
    from mech_music.tasks.protocol import Figure


class SaeErase:
    """Every concept × layer × number of features × prompt of the config."""

    name: ClassVar[str] = SAE_ERASE.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = SAE_ERASE

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Whoever hears the concepts and what should be kept beside them, and what an edit costs."""
        kept = [kept.heard_by for one in run.concepts if (kept := run.study.kept_beside(one))]
        return tuple(dict.fromkeys([*(one.heard_by for one in run.concepts), *kept, LIKELIHOOD]))

    def plan(self, run: Settings) -> list[Row]:
        """Unedited clips first."""
        planned = list(trials(run))
        return list(dict.fromkeys([*(one.baseline for one in planned), *(one.row for one in planned)]))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """A line for each clip."""
        lines, told = [], told_of(run.sae)
        for _, group in groupby(trials(run), key=lambda one: (one.concept.name, one.layer)):
            own = list(group)
            concept, kept = own[0].concept, run.study.kept_beside(own[0].concept)
            prompts, baselines, rows = zip(*((one.prompt, one.baseline, one.row) for one in own), strict=True)
            clips = Clips(concept.heard_by, prompts, baselines, rows, answers)
            heard = clips.heard(run.study, concept)
            measured = clips.measured(heard=heard, kept=clips.kept(kept), surprise=clips.surprise())
            lines += [_line(run, one, answers, told) | found for one, found in zip(own, measured, strict=True)]
        return pd.DataFrame(lines, columns=pd.Index(SAE_ERASE.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """The first prompts of each concept with every number of features, beside the unedited clip."""
        good = table.query(
            "role == 'erased' and not failed and index < @most", local_dict={"most": run.audio.strongest}
        )
        keys = ["concept", "layer", "index"]
        return [_choice(lines_of(cast(pd.DataFrame, some))) for _, some in good.groupby(keys, sort=False)]

    @staticmethod
    def figures() -> Sequence[Figure]:
        """What is heard against the number of features."""
        from mech_music.tasks.sae_erase.figures import erasing_curves

        return (erasing_curves,)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """A line for each concept: the fewest features that are enough."""
        from mech_music.tasks.sae_erase.terminal import erasing_table

        return erasing_table(summary)


def _line(run: Settings, one: Trial, answers: Answers, told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": SAE_ERASE.task,
        "model": run.model.name,
        "classifier": run.classifier.name,
        "role": one.role,
        "component": run.component.value,
        "layer": str(one.layer),
        "features": one.features,
        "concept": one.concept.name,
        "chance": 1.0 / (1 + len(rivals(run.study, one.concept))),
        "half": run.half.value,
        **{name: told[name] for name in ("width", "k", "activation", "training")},
        "sae_seed": run.sae.seed,
        "seed": run.seed,
        "duration": float(run.duration),
        "prompts": run.prompts,
        "prompt_set": run.study.name,
        "index": one.index,
        "repeat": one.repeat,
        "prompt": one.prompt.text,
        "row": answers.key(one.row),
        "baseline": answers.key(one.baseline),
    }


def _choice(lines: Sequence[Any]) -> Choice:
    first = lines[0]
    versions = {"original": first["baseline"]} | {f"without-{line['features']}": line["row"] for line in lines}
    return Choice(
        name=f"{first['concept']}_layer-{first['layer']}_prompt-{first['index']:03d}",
        caption=f"{first['concept']} erased, layer {first['layer']}: {first['prompt']}",
        versions=versions,
        facts={name: first[name] for name in ("concept", "layer", "index", "prompt")},
    )
