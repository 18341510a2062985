"""Single heads in activation patching: what is planned, that nothing but their slice moves, and the map."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.edits.patch import Patch
from mech_music.edits.row import Half
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.results import canvas
from mech_music.results.tables import ABOVE, summarise
from mech_music.results.terminal import terminal_table
from mech_music.tasks.patching import figures
from mech_music.tasks.patching.columns import PATCHING
from mech_music.tasks.patching.patches import Window, patches
from mech_music.tasks.patching.sites import everywhere, parse_heads_of, parse_sites
from mech_music.tasks.patching.task import Patching
from mech_music.tasks.patching.trials import trials
from tests.answers import Outcome, answered
from tests.made_engine import engine
from tests.tasks.test_patching import CLEAN, CORRUPTED, GUITAR, MADE, PIANO, at, composed

TWO_HEADS = replace(MADE, heads=2)  # as the made model has


def test_heads_are_patched_where_their_outputs_are_side_by_side() -> None:
    words = ("head='0,1+2'", "layer=4", "prompts=2", "half=cond", "frames=0s:1s", "controls=[]")
    found = [trial for trial in trials(composed(*words)) if trial.site and trial.site.component == "ca"]
    assert [(trial.site.head, trial.row.edits) for trial in found[:2] if trial.site] == [
        (label, (Patch("blocks.4.cross_attn.hook_z", found[0].run.source, (0, 25), Half.cond, heads),))
        for label, heads in (("0", (0,)), ("1+2", (1, 2)))
    ]
    sites = composed("head=all").sites
    assert {site.component for site in sites} == {"sa", "ca"} and len(sites) == 2 * 8 * 4
    together = composed("head=3", "layer=together", "component=sa").sites
    assert [hook.name for hook in together[0].hooks] == [f"blocks.{layer}.attn.hook_z" for layer in range(8)]


def test_the_controls_are_those_of_whole_outputs() -> None:
    found = list(trials(composed("head=1", "component=ca", "layer=2", "prompts=3")))
    itself = [trial for trial in found if trial.role == "self"]
    assert len(itself) == 3 and all(trial.site is None for trial in itself)
    assert {edit.hook for edit in itself[0].row.edits} == {
        f"blocks.{layer}.{part}.hook_z" for layer in range(8) for part in ("attn", "cross_attn")
    }
    for trial in found:
        sources = {edit.row for edit in trial.row.edits}
        wanted = {"patch": trial.run.source, "unrelated": trial.run.unrelated, "self": trial.run.base}
        assert sources == {wanted[trial.role]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["head=4"], "head 4 does not exist"),
        (["head=0", "component=mlp"], "head=0: component=mlp has no heads; allowed with head: sa, ca"),
        (["head=0", "path=ca4-mlp6"], "leave component, layer and head out beside it"),
        (["head=0", "model=melody", "component=ca"], "model 'melody' has no cross-attention"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)) as error:
        validate(composed(*words))
    assert "\n" not in str(error.value)


def test_only_the_heads_slice_moves_and_all_heads_are_the_whole_output(made: HookedMusicGen, tmp_path: Path) -> None:
    own, z, output = engine(made, tmp_path), "blocks.1.cross_attn.hook_z", "blocks.1.hook_cross_attn_out"
    first, second = parse_heads_of("ca", "1", "all", TWO_HEADS)
    (whole,) = parse_sites("ca", "1", TWO_HEADS)
    window = Window(steps=(0, 1))  # later steps follow other tokens
    base, source = (at(own, row, [z, output]) for row in (CLEAN, CORRUPTED))
    assert not torch.equal(base[z][0], source[z][0])
    for site, mine in ((first, 0), (second, 1)):
        patched = at(own, replace(CLEAN, edits=patches(site, CLEAN, CORRUPTED, window)), [z])
        slices, wanted, theirs = (one[z][0].unflatten(-1, (2, -1)) for one in (patched, base, source))
        assert torch.equal(slices[:, mine], theirs[:, mine]) and torch.equal(slices[:, 1 - mine], wanted[:, 1 - mine])
    rows = [
        replace(CLEAN, edits=patches(first, CLEAN, CLEAN, Window())),
        replace(CLEAN, edits=tuple(Patch(hook.name, CLEAN) for hook in everywhere(TWO_HEADS, heads=True))),
        CLEAN,
        replace(
            CLEAN, edits=(*patches(first, CLEAN, CORRUPTED, Window()), *patches(second, CLEAN, CORRUPTED, Window()))
        ),
        replace(CLEAN, edits=patches(whole, CLEAN, CORRUPTED, Window())),
    ]
    of_first, everything, plain, both, output_patched = own.passes.tokens(rows)
    assert torch.equal(of_first, plain) and torch.equal(everything, plain), "itself is the clip, token for token"
    assert torch.equal(both, output_patched) and not torch.equal(both, plain), "all heads are the whole output"


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    """Clean clips sound of guitar, corrupted ones of piano; head 2 of cross-attention 1 carries half, nothing else."""
    run = composed("head=all", "prompts=12", "layer='0,1'")
    rng, outcomes = np.random.default_rng(0), {}
    for number, row in enumerate(Patching().plan(run)):
        logits, guitar = np.full(527, -9.0), float("guitar" in row.prompt)
        hit = len(row.edits) == 1 and (row.edits[0].hook, row.edits[0].heads) == ("blocks.1.cross_attn.hook_z", (2,))
        way = 0.5 if hit and ("guitar" in row.edits[0].row.prompt) != ("guitar" in row.prompt) else 0.0
        spread = float(rng.uniform(0.95, 1.05))
        logits[GUITAR] = 4.0 * spread * (guitar + (1 - 2 * guitar) * way)
        logits[PIANO] = 4.0 * spread - logits[GUITAR]
        outcomes[row] = Outcome(logits.astype(np.float32), np.zeros((4, 1), np.int16), f"{number:064x}")
    return summarise(Patching().score(run, answered(outcomes)), 200, 0.95, 0)


def test_the_head_that_carries_the_word_is_marked_alone(summary: pd.DataFrame) -> None:
    effects = summary.query("role == 'patch'")
    assert len(effects) == 2 * 2 * 4
    marked = effects.query("p_above <= 0.05")[["component", "layer", "head"]].to_numpy().tolist()
    assert marked == [["ca", "1", "2"]]
    assert set(summary.query("role == 'self'")["head"]) == {""}


def test_the_map_is_head_by_layer(summary: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    saved: list[canvas.Sheet] = []
    monkeypatch.setattr(canvas.Sheet, "save", lambda sheet, folder, name: saved.append(sheet) or [folder / name])
    (path,) = figures.head_maps(summary, tmp_path)
    assert path.name == "heads_guitar-piano_denoise_tiny" and figures.site_maps(summary, tmp_path) == []
    own, cross = saved[0].axes[:2]
    assert [label.get_text() for label in cross.get_yticklabels()] == [f"head {head}" for head in range(4)]
    values = [np.ma.filled(np.ma.asarray(axes.images[0].get_array()), np.nan) for axes in (own, cross)]
    assert values[0].shape == values[1].shape == (4, 2)
    np.testing.assert_allclose(values[1][2, 1], 0.5, atol=0.05)
    assert max(np.abs(values[0]).max(), np.abs(np.delete(values[1], 2, axis=0)).max()) < 0.05
    with (console := Console(width=200)).capture() as said:
        console.print(terminal_table(summary, 200))
    assert "ca head 2" in said.get() and "greatest: ca 1 head 2" in said.get()


def test_the_page_has_heads_down(summary: pd.DataFrame) -> None:
    from mech_music.report.default import view_of
    from mech_music.results.tables import schema_of

    view = view_of(schema_of(summary))
    effects = view.beside(summary)
    assert view.fitted(effects).heat.down == "head" and "component" in view.fitted(effects).selectable
    assert set(effects.query(f"verdict == {ABOVE}")["head"]) == {"2"}
    assert PATCHING.axes.index("head") < PATCHING.axes.index("receiver")
