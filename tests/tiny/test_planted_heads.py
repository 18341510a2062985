"""The head through which a concept enters `planted-apart`, found by replacing one head at a time (`make test-slow`)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mech_music.edits.row import Row
from mech_music.engine.engine import open_engine
from mech_music.metrics.inference import margins
from mech_music.metrics.measures import effectiveness
from mech_music.models.hooks import Hook
from mech_music.tasks.interchange.trials import trials
from tests.composing import compose_run

pytestmark = pytest.mark.slow
HEADS = range(4)
CONTROLS = ("self", "other", "random", "noise")
PROMPTS, DRAWN, SWEEPS = 24, 16, 200
Site = tuple[int, int]  # layer, head; noise: (-1, -1)


def at_head(edit: Any, head: int) -> Any:
    """The same edit at one head's part of what cross-attention's output projection reads."""
    if hasattr(edit, "edit"):
        return replace(edit, edit=at_head(edit.edit, head))
    layer = Hook.parse(edit.hook).layer
    return replace(edit, hook=f"blocks.{layer}.cross_attn.hook_z", heads=(head,))


def differences(run: Any) -> tuple[list[Site], np.ndarray]:
    """Effect less control of every head of the run's layers, ``[site, control, prompt]``."""
    rows: dict[tuple[Site, str, int], list[tuple[Row, Row]]] = defaultdict(list)
    for trial in trials(run):
        for head in HEADS if trial.row.edits else [-1]:
            row = replace(trial.row, edits=tuple(at_head(edit, head) for edit in trial.row.edits))
            site = (int(trial.layer), head) if trial.layer else (-1, -1)
            rows[site, trial.role, trial.index].append((trial.baseline, row))
    wanted = list(dict.fromkeys(row for pairs in rows.values() for pair in pairs for row in pair))
    answers = open_engine(run).answers(wanted, ["classifier"])
    ((original, desired),) = run.pairs

    def effect(site: Site, role: str, prompt: int) -> float:
        both = zip(*rows[site, role, prompt], strict=True)
        before, after = (np.stack([answers.reading(row, "classifier")["logits"] for row in own]) for own in both)
        return float(np.mean(effectiveness(before, after, original.labels[0], desired.labels[0]).total))

    sites = sorted({site for site, _, _ in rows} - {(-1, -1)})
    found = np.empty((len(sites), len(CONTROLS), run.prompts))
    for place, control, prompt in np.ndindex(found.shape):
        role = CONTROLS[control]
        other = effect((-1, -1) if role == "noise" else sites[place], role, prompt)
        found[place, control, prompt] = effect(sites[place], "technique", prompt) - other
    return sites, found


@pytest.mark.parametrize(("pair", "true"), [("piano-violin", (2, 1)), ("classical-rock", (5, 0))])
def test_the_head_is_found_and_no_other(pair: str, true: Site, tmp_path: Path) -> None:
    words = ("model=planted-apart", "component=ca", "layer='2,5'", f"prompts={PROMPTS}", "metrics=[]")
    sites, found = differences(compose_run(*words, f"pair={pair}", f"engine.store={tmp_path}", "engine.device=cpu"))
    at, marked = sites.index(true), []
    for sweep in range(SWEEPS):
        chosen = np.random.default_rng(sweep).choice(PROMPTS, DRAWN, replace=False)
        (told,) = margins([found[..., chosen]], 1, 0.95, 0, flips=999)
        marked.append((told.above <= 0.05).all(axis=1))
    right, wrong = np.array(marked)[:, at].mean(), np.delete(np.array(marked), at, axis=1).any(axis=1).mean()
    print(f"{pair}: head {true} marked in {right:.3f} of {SWEEPS} sweeps, another in {wrong:.3f}; margins:")  # noqa: T201
    for site, own in zip(sites, found.mean(axis=2), strict=True):
        print(f"  layer {site[0]} head {site[1]}: {own.min():+.1f} over {CONTROLS[own.argmin()]}")  # noqa: T201
    assert right >= 0.95
    assert wrong <= 0.05
