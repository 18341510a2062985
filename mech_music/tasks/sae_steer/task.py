"""Steering with a feature: ``out' = out + α β W_dec[j]`` (Singh et al.), beside the same prompt and seed without it.

High AUROC does not make a feature one that steers, so it is chosen by its effect on some prompts and tested on others;
beside it a random feature of the same length, the difference of means, and no edit at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd

from mech_music.metrics import measures
from mech_music.metrics.concepts import kept_category, kept_words, rivals
from mech_music.results.audio import Choice
from mech_music.results.tables import lines_of
from mech_music.tasks.sae.columns import told_of
from mech_music.tasks.sae_steer.columns import SAE_STEER
from mech_music.tasks.sae_steer.settings import SaeSteerSettings as Settings
from mech_music.tasks.sae_steer.trials import Trial, choice_strength, trials

if TYPE_CHECKING:
    from mech_music.edits.row import Row
    from mech_music.engine.engine import Answers


class SaeSteer:
    """Every pair × layer × strength × prompt of the config."""

    name: ClassVar[str] = SAE_STEER.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = SAE_STEER

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Whoever hears the concepts and what should be kept beside them."""
        heard = [concept.heard_by for pair in run.pairs for concept in pair]
        kept = [kept.heard_by for pair in run.pairs if (kept := kept_category(run.study, *pair))]
        return tuple(dict.fromkeys([*heard, *kept]))

    def plan(self, run: Settings) -> list[Row]:
        """Unedited clips first."""
        planned = list(trials(run))
        return list(dict.fromkeys([*(one.baseline for one in planned), *(one.row for one in planned)]))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """Lines of the tested prompts; of the candidates, those of the first by AUROC and of the chosen one."""
        lines, told = [], told_of(run.sae)
        for _, group in groupby(trials(run), key=lambda one: (one.original.name, one.desired.name, one.layer)):
            own = list(group)
            measured = _measured(run, own, answers)
            lines += [_line(run, one, answers, told) | found for one, found in _shown(own, measured)]
        return pd.DataFrame(lines, columns=pd.Index(SAE_STEER.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """The first prompts of each pair, steered at every strength, beside the unedited clip."""
        good = table.query(
            "role == 'chosen' and not failed and index < @most", local_dict={"most": run.audio.strongest}
        )
        keys = ["original", "desired", "layer", "index"]
        return [_choice(lines_of(cast(pd.DataFrame, some))) for _, some in good.groupby(keys, sort=False)]


def _measured(run: Settings, own: Sequence[Trial], answers: Answers) -> list[dict[str, Any]]:
    """Of each trial; NaN where either clip failed."""
    original, desired = own[0].original, own[0].desired
    before, after = (
        _logits((getattr(one, which) for one in own), desired.heard_by, answers) for which in ("baseline", "row")
    )
    failed = np.isnan(np.concatenate([before, after], axis=1).sum(axis=1))
    first, second = original.labels[0], desired.labels[0]
    safe = np.where(failed[:, None], 0.0, after), np.where(failed[:, None], 0.0, before)
    found = {
        "heard": measures.flipped(safe[0], second, rivals(run.study, desired)).astype(float),
        "flipped": measures.flipped_pair(safe[0], first, second).astype(float),
        "kept": np.full(len(own), np.nan),
        "effect": measures.log_odds(safe[0], second) - measures.log_odds(safe[1], second),
    }
    if (kept := kept_category(run.study, original, desired)) is not None:
        logits = _logits((one.row for one in own), kept.heard_by, answers)
        heard = kept_words(kept, [one.prompt for one in own], np.where(np.isfinite(logits), logits, 0.0))
        found["kept"] = heard
    found["both"] = found["heard"] * np.where(np.isfinite(found["kept"]), found["kept"], 1.0)
    for values in found.values():
        values[failed] = np.nan
    return [
        {name: float(values[place]) for name, values in found.items()} | {"failed": bool(failed[place])}
        for place in range(len(own))
    ]


def _logits(rows: Iterable[Row], listener: str, answers: Answers) -> np.ndarray:
    return np.stack([answers.reading(row, listener)["logits"] for row in rows])


def _shown(own: Sequence[Trial], measured: Sequence[dict[str, Any]]) -> list[tuple[Trial, dict[str, Any]]]:
    """The tested trials by the role that they have in the table."""
    chosen, found = _best(own, measured), []
    for one, values in zip(own, measured, strict=True):
        if one.choice:
            continue
        if one.role != "candidate":
            found.append((one, values))
            continue
        roles = [role for role, rank in (("chosen", chosen), ("auroc", 0)) if rank == one.rank]
        found += [(replace(one, role=role), values) for role in roles]
    return found


def _best(own: Sequence[Trial], measured: Sequence[dict[str, Any]]) -> int:
    """The rank of the candidate with which the desired concept is heard and the rest is kept most often, on the prompts
    that it is chosen by; of equals, the one with the larger effect."""
    by_rank: dict[int, list[tuple[float, float]]] = {}
    for one, values in zip(own, measured, strict=True):
        if one.choice:
            by_rank.setdefault(one.rank, []).append((values["both"], values["effect"]))
    return max(by_rank, key=lambda rank: tuple(np.nanmean(np.array(by_rank[rank]), axis=0)))


def _line(run: Settings, one: Trial, answers: Answers, told: Mapping[str, Any]) -> dict[str, Any]:
    chosen = f"of {run.candidates} by {run.choice_prompts} prompts at {choice_strength(run):g}"
    return {
        "task": SAE_STEER.task,
        "model": run.model.name,
        "classifier": run.classifier.name,
        "role": one.role,
        "component": run.component.value,
        "layer": str(one.layer),
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
        "prompt": one.prompt.text,
        "row": answers.key(one.row),
        "baseline": answers.key(one.baseline),
        "rank": one.rank,
    }


def _choice(lines: Sequence[Any]) -> Choice:
    first = lines[0]
    versions = {"original": first["baseline"]} | {f"steered-{line['strength']:g}": line["row"] for line in lines}
    pair = f"{first['original']}-{first['desired']}"
    return Choice(
        name=f"{pair}_layer-{first['layer']}_prompt-{first['index']:03d}",
        caption=f"{first['original']} → {first['desired']}, layer {first['layer']}: {first['prompt']}",
        versions=versions,
        facts={name: first[name] for name in ("original", "desired", "layer", "index", "rank", "prompt")},
    )
