"""What the tuned lens asks for and writes down, with records whose values are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mech_music.base.errors import UserError
from mech_music.edits.row import Fit, Translator
from mech_music.engine.engine import Answers
from mech_music.lenses.files import find_lens, read_lens
from mech_music.lenses.tuned import clips_of
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.tasks.protocol import Exporting
from mech_music.tasks.tuned_lens.columns import TUNED_LENS
from mech_music.tasks.tuned_lens.task import TunedLens
from tests.composing import compose_run

RUN = ("task=tuned_lens", "lens.clips=8", "lens.held_out=3", "lens.seed=2")


def answers_of(sources: list[Translator]) -> Answers:
    """The measures of clip ``i`` at the ``n``-th layer: ``n + i / 10``, the tuned lens' 100 more."""
    records = {}
    for n, source in enumerate(sources):
        values = (n + np.arange(3) / 10).astype(np.float32)
        record = {f"decoder_{name}": values for name in TUNED_LENS.metrics}
        record |= {f"tuned_{name}": values + 100 for name in TUNED_LENS.metrics}
        records[source] = record | {"weight": np.full((4, 4), n, np.float32), "bias": np.full(4, -n, np.float32)}
    return Answers({}, records=records)


def test_every_layer_but_the_end_is_trained() -> None:
    fit = Fit(load_prompt_set().every_prompt, 8, 3, 64, 4, 2)
    assert TunedLens().plan(compose_run(*RUN)) == [Translator(f"blocks.{i}.hook_resid_post", fit) for i in range(7)]
    within = TunedLens().plan(compose_run(*RUN, "component=ca", "layer='5,last'"))
    assert [source.hook for source in within] == ["blocks.5.hook_resid_mid_cross", "blocks.7.hook_resid_mid_cross"]


@pytest.mark.parametrize(("layer", "line"), [("last", "^layer=last: the last layer's output is the end itself"),
                                             ("together", "^layer=together: a lens reads one layer")])  # fmt: skip
def test_what_cannot_be_trained_is_one_line(layer: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        TunedLens().plan(compose_run(*RUN, f"layer={layer}"))


def test_both_lenses_have_a_line_for_each_clip_held_out() -> None:
    run, task = compose_run(*RUN, "layer='2,0'"), TunedLens()
    table = task.score(run, answers_of(task.plan(run)))
    assert tuple(table.columns) == TUNED_LENS.names
    conformed = tables.conform(table)
    assert len(conformed) == 2 * 2 * 3 and not conformed["failed"].to_numpy().any()
    _, held_out = clips_of(Fit(load_prompt_set().every_prompt, 8, 3, 64, 4, 2))
    for n, layer in enumerate("20"):
        for lens, more in (("decoder", 0), ("tuned", 100)):
            lines = table[(table["layer"] == layer) & (table["lens"] == lens)]
            assert lines["prompt"].tolist() == [row.prompt for row in held_out]
            for name in TUNED_LENS.metrics:
                np.testing.assert_allclose(lines[name], more + n + np.arange(3) / 10, rtol=1e-6)
    assert set(zip(table["seed"], table["prompts"], strict=True)) == {(2, 3)}, "of the fit"
    assert task.choose_clips(run, table) == []


def test_the_lens_is_left_in_the_jobs_folder(tmp_path: Path) -> None:
    run, task = compose_run(*RUN, "layer='0,3'"), TunedLens()
    assert isinstance(task, Exporting)
    task.export(run, answers_of(task.plan(run)), pd.DataFrame(), "abc", tmp_path)
    maps = read_lens(find_lens(str(tmp_path)), "abc")
    assert {hook: (float(m.weight.mean()), float(m.bias.mean())) for hook, m in maps.items()} == {
        "blocks.0.hook_resid_post": (0.0, 0.0),
        "blocks.3.hook_resid_post": (1.0, -1.0),
    }
