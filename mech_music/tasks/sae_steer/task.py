"""Steering with a feature: ``out' = out + α β W_dec[j]`` (Singh et al.), beside the same prompt and seed without it.

High AUROC does not make a feature one that steers, so it is chosen by its effect on some prompts and tested on others;
beside it a random feature of the same length, the difference of means, and no edit at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd

from mech_music.metrics.concepts import kept_category
from mech_music.results.audio import Choice
from mech_music.results.tables import lines_of
from mech_music.tasks.sae.columns import told_of
from mech_music.tasks.sae.edited_clips import LIKELIHOOD, Clips
from mech_music.tasks.sae_steer.columns import SAE_STEER
from mech_music.tasks.sae_steer.settings import SaeSteerSettings as Settings
from mech_music.tasks.sae_steer.settings import Steer
from mech_music.tasks.sae_steer.trials import Trial, choice_strength, trials

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.edits.row import Row
    from mech_music.engine.engine import Answers
    from mech_music.tasks.protocol import Figure


class SaeSteer:
    """Every pair × layer × strength × prompt of the config."""

    name: ClassVar[str] = SAE_STEER.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = SAE_STEER

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Whoever hears the concepts and what should be kept beside them, and what an edit costs."""
        heard = [concept.heard_by for pair in run.pairs for concept in pair]
        kept = [kept.heard_by for pair in run.pairs if (kept := kept_category(run.study, *pair))]
        return tuple(dict.fromkeys([*heard, *kept, LIKELIHOOD]))

    def plan(self, run: Settings) -> list[Row]:
        """Unedited clips first."""
        planned = list(trials(run))
        return list(dict.fromkeys([*(one.baseline for one in planned), *(one.row for one in planned)]))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """Lines of the tested prompts; of candidates, the chosen one (of single features, also the first by AUROC)."""
        lines, told = [], told_of(run.sae)
        for _, group in groupby(trials(run), key=lambda one: (one.original.name, one.desired.name, one.layer)):
            own = list(group)
            measured = _measured(run, own, answers)
            lines += [_line(run, one, answers, told) | found for one, found in _shown(run, own, measured)]
        return pd.DataFrame(lines, columns=pd.Index(SAE_STEER.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """The first prompts of each pair, steered at every strength, beside the unedited clip."""
        good = table.query(
            "role == 'chosen' and not failed and index < @most", local_dict={"most": run.audio.strongest}
        )
        keys = ["original", "desired", "layer", "index"]
        return [_choice(lines_of(cast(pd.DataFrame, some))) for _, some in good.groupby(keys, sort=False)]

    @staticmethod
    def figures() -> Sequence[Figure]:
        """Dose and response."""
        from mech_music.tasks.sae_steer.figures import dose_response

        return (dose_response,)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """Every strength beside its controls."""
        from mech_music.tasks.sae_steer.terminal import steering_table

        return steering_table(summary)


def _measured(run: Settings, own: Sequence[Trial], answers: Answers) -> list[dict[str, Any]]:
    """Of each trial; NaN where either clip failed."""
    original, desired = own[0].original, own[0].desired
    prompts, baselines, rows = zip(*((one.prompt, one.baseline, one.row) for one in own), strict=True)
    clips = Clips(desired.heard_by, prompts, baselines, rows, answers)
    heard, kept = clips.heard(run.study, desired), clips.kept(kept_category(run.study, original, desired))
    return clips.measured(
        heard=heard,
        flipped=clips.flipped(original, desired),
        kept=kept,
        both=heard * np.where(np.isfinite(kept), kept, 1.0),
        effect=clips.effect(desired),
        surprise=clips.surprise(),
    )


def _shown(
    run: Settings, own: Sequence[Trial], measured: Sequence[dict[str, Any]]
) -> list[tuple[Trial, dict[str, Any]]]:
    """The tested trials by the role that they have in the table."""
    chosen, found = _best(own, measured), []
    for one, values in zip(own, measured, strict=True):
        if one.choice:
            continue
        if one.role != "candidate":
            found += [(one, values)] if one.role != "random" or one.candidate == chosen else []
            continue
        roles = ["chosen"] if one.candidate == chosen else []
        roles += ["auroc"] if run.steer is Steer.feature and one.candidate == 0 else []
        found += [(replace(one, role=role), values) for role in roles]
    return found


def _best(own: Sequence[Trial], measured: Sequence[dict[str, Any]]) -> int:
    """The candidate with which the desired concept is heard and the rest is kept most often, on the prompts
    that it is chosen by; of equals, the one with the larger effect."""
    found: dict[int, list[tuple[float, float]]] = {}
    for one, values in zip(own, measured, strict=True):
        if one.choice:
            found.setdefault(one.candidate, []).append((values["both"], values["effect"]))
    if not found:
        return next(one.candidate for one in own if one.role == "candidate")  # there is but one
    return max(found, key=lambda one: _means(np.array(found[one])))


def _means(values: np.ndarray) -> tuple[float, ...]:
    """Over the clips that did not fail; below everything where all did."""
    whole = values[np.isfinite(values).all(axis=1)]
    return tuple(whole.mean(axis=0)) if len(whole) else (-np.inf, -np.inf)


def _line(run: Settings, one: Trial, answers: Answers, told: Mapping[str, Any]) -> dict[str, Any]:
    tried = ", ".join(map(str, run.tried))
    chosen = f"of {tried} by {run.choice_prompts} prompts at {choice_strength(run):g}" if run.tried[1:] else tried
    return {
        "task": SAE_STEER.task,
        "model": run.model.name,
        "classifier": run.classifier.name,
        "role": one.role,
        "component": run.component.value,
        "layer": str(one.layer),
        "steer": run.steer.value,
        "contrast": run.contrast,
        "schedule": run.schedule,
        "strength": one.strength,
        "original": one.original.name,
        "desired": one.desired.name,
        "half": run.half.value,
        **{name: told[name] for name in ("width", "k", "activation")},
        "training": f"{told['training']}; {chosen}",
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
        "candidate": one.candidate,
    }


def _choice(lines: Sequence[Any]) -> Choice:
    first = lines[0]
    versions = {"original": first["baseline"]} | {f"steered-{line['strength']:g}": line["row"] for line in lines}
    pair = f"{first['original']}-{first['desired']}"
    return Choice(
        name=f"{pair}_layer-{first['layer']}_prompt-{first['index']:03d}",
        caption=f"{first['original']} → {first['desired']}, layer {first['layer']}: {first['prompt']}",
        versions=versions,
        facts={name: first[name] for name in ("original", "desired", "layer", "steer", "index", "candidate", "prompt")},
    )
