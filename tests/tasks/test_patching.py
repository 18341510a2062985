"""Activation patching: what is planned, what is measured of known outcomes, and that a path is the direct one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.config.schema import ModelConfig
from mech_music.edits.patch import Patch
from mech_music.edits.row import Half, Row
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import canvas
from mech_music.results.tables import ABOVE, read_table, summarise
from mech_music.results.terminal import terminal_table
from mech_music.tasks.patching import figures
from mech_music.tasks.patching.columns import PATCHING
from mech_music.tasks.patching.patches import Window, patches
from mech_music.tasks.patching.sites import everywhere, parse_paths
from mech_music.tasks.patching.task import Patching
from mech_music.tasks.patching.trials import runs, trials
from tests.answers import Outcome, answered
from tests.composing import CommandLine, compose_run
from tests.made_engine import engine

STUDY = load_prompt_set()
GUITAR, PIANO = (STUDY.concepts[name].labels[0] for name in ("guitar", "piano"))
MADE = ModelConfig("made", layers=3, frame_rate=25)
CLEAN, CORRUPTED = Row("Compose a happy rock piece.", 0), Row("Compose a happy jazz piece.", 0)


def composed(*words: str) -> Any:
    return compose_run("task=patching", *words)


# -- what is planned -----------------------------------------------------------------------------------------


def test_a_run_goes_on_with_the_matched_clips_own_activations() -> None:
    run = composed("prompts=3", "component=ca", "layer=4", "half=cond", "frames=0s:1s", "controls=[]", "direction=both")
    found = list(trials(run))
    assert len(found) == 2 * 3
    for trial in found:
        texts = {"guitar": trial.run.base.prompt, "piano": trial.run.source.prompt}
        if trial.run.direction == "denoise":
            texts = {"guitar": trial.run.source.prompt, "piano": trial.run.base.prompt}
        assert texts["piano"] == texts["guitar"].replace("guitar", "piano") != texts["guitar"]
        assert trial.run.base.seed == trial.run.source.seed
        assert trial.row.edits == (Patch("blocks.4.hook_cross_attn_out", trial.run.source, (0, 25), Half.cond),)
        assert replace(trial.row, edits=()) == trial.run.base


def test_the_controls_are_the_clip_itself_and_a_clip_without_the_word() -> None:
    run = composed("prompts=3", "component=mlp", "layer='0,together'", "seeds=2")
    found = list(trials(run))
    assert run.controls == [role.name for role in PATCHING.controls]
    assert [t.role for t in found].count("self") == 3 * 2, "one for each run: it has no site"
    for trial in found:
        sources = {patch.row for patch in trial.row.edits}
        if trial.role == "self":
            assert sources == {trial.run.base} and len(trial.row.edits) == 3 * 8
        elif trial.role == "unrelated":
            (source,) = sources
            assert "piano" in source.prompt and source.prompt != trial.run.base.prompt, "the run's own word"
            assert source.seed not in {0, 1}
    rows = Patching().plan(run)
    assert len(rows) == len(set(rows)) == 2 * 6 + 6 + 2 * 2 * 6


def test_windows_are_equal_parts_of_the_steps() -> None:
    run = composed("duration=1", "windows=4", "layer=0", "component=sa", "prompts=2")
    assert [label for label, _ in run.slices] == ["0:7", "7:14", "14:21", "21:28"]
    assert [steps for _, steps in composed("frames=10:20", "windows=2").slices] == [(10, 15), (15, 20)]


def test_components_are_those_that_the_model_has() -> None:
    def names(*words: str) -> list[str]:
        return list(dict.fromkeys(site.component for site in composed("layer=0", *words).sites))

    assert names() == ["sa", "ca", "mlp", "resid"] and names("component='ca,mlp'") == ["ca", "mlp"]
    assert names("model=melody") == ["sa", "mlp", "resid"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["component=cq"], "unknown component 'cq'; did you mean ca?"),
        (["component=ca", "model=melody"], "model 'melody' has no cross-attention"),
        (["layer=8"], "layer 8 does not exist"),
        (["windows=0"], "windows=0: expected 1 to 103"),
        (["seeds=0"], "seeds=0: expected 1 or more"),
        (["controls=[noise]"], "unknown control of task=patching 'noise'"),
        (["pair=guitar-jazz"], "cannot be swapped"),
        (["prompts=126"], "126 prompts asked for 'guitar'"),
        (["path=mlp6-ca4"], "path=mlp6-ca4: the sender comes after the receiver"),
        (["path=ca4"], "path=ca4: expected sender-receiver"),
        (["path=ca4-resid6"], "cannot read 'resid6'"),
        (["path=ca4-mlp8"], "layer 8 does not exist"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)) as error:
        validate(composed(*words))
    assert "\n" not in str(error.value)


# -- what is measured ----------------------------------------------------------------------------------------


def known(run: Any, followed: float = 0.5) -> pd.DataFrame:
    """Clean clips sound of guitar, corrupted ones of piano; cross-attention carries a share of it, nothing else does.

    By chance clips differ a little in how loud that is.
    """
    outcomes = {}
    rng = np.random.default_rng(0)
    for number, row in enumerate(Patching().plan(run)):
        logits = np.full(527, -9.0)
        way = 0.0
        if row.edits and all("cross_attn_out" in patch.hook for patch in row.edits):
            source = row.edits[0].row.prompt
            way = followed if ("guitar" in source) != ("guitar" in row.prompt) else 0.0
        guitar = 1.0 if "guitar" in row.prompt else 0.0
        spread = float(rng.uniform(0.95, 1.05))
        logits[GUITAR] = 4.0 * spread * (guitar + (1 - 2 * guitar) * way)
        logits[PIANO] = 4.0 * spread - logits[GUITAR]
        outcomes[row] = Outcome(logits.astype(np.float32), np.zeros((4, 1), np.int16), f"{number:064x}")
    return Patching().score(run, answered(outcomes))


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    run = composed("prompts=12", "layer='0,1'", "direction=both", "component='ca,mlp'")
    return summarise(known(run), 200, 0.95, 0)


def test_the_share_is_the_part_of_the_way_and_only_its_site_is_marked(summary: pd.DataFrame) -> None:
    effects = summary.query("role == 'patch'")
    assert len(effects) == 2 * 2 * 2
    ca, mlp = (effects.query(f"component == '{name}'") for name in ("ca", "mlp"))
    # Halfway between the logits is halfway in odds, but for what the other labels add to both.
    np.testing.assert_allclose(ca["share"], 0.5, atol=0.05)
    np.testing.assert_allclose(ca["share"] * ca["gap"], ca["effect"], rtol=1e-6)
    assert len(ca.query("share_low < share < share_high and p_above <= 0.05")) == len(ca) == 4
    assert set(ca["over"]) <= {"self", "unrelated"}
    assert len(mlp.query("-0.05 < share < 0.05 and p_above > 0.05")) == len(mlp) == 4
    assert set(summary[summary["role"] == "self"]["component"]) == {""}


def test_without_a_difference_no_share_is_told(caplog: pytest.LogCaptureFixture) -> None:
    run = composed("prompts=3", "layer=0", "component=ca", "controls=[]")
    outcomes = {
        row: Outcome(np.zeros(527, np.float32), np.zeros((4, 1), np.int16), f"{n:064x}")
        for n, row in enumerate(Patching().plan(run))
    }
    table = Patching().score(run, answered(outcomes))
    assert np.isnan(table["share"].to_numpy()).all() and np.isfinite(table["effect"].to_numpy()).all()
    assert "no share is told" in caplog.text


def test_a_failed_clip_keeps_its_line() -> None:
    run = composed("prompts=3", "layer=0", "component=ca", "controls=[]")
    outcomes = {
        row: Outcome(np.full(527, np.nan if n == 0 else 1.0 * n, np.float32), np.zeros((4, 1), np.int16), f"{n:064x}")
        for n, row in enumerate(Patching().plan(run))
    }
    table = Patching().score(run, answered(outcomes))
    assert table["failed"].tolist() == [True, False, False] and table["effect"].isna().tolist() == [True, False, False]


def test_maps_and_table_say_the_shares(summary: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[canvas.Sheet] = []
    save = canvas.Sheet.save
    monkeypatch.setattr(canvas.Sheet, "save", lambda sheet, *to: saved.append(sheet) or save(sheet, *to))
    names = [path.name for path in figures.site_maps(summary, tmp_path)]
    assert names[::2] == [f"patching_guitar-piano_{way}_tiny.png" for way in ("denoise", "noise")]
    (image,) = saved[0].axes[0].images
    values = np.ma.filled(np.ma.asarray(image.get_array()), np.nan)
    np.testing.assert_allclose(values[1], 0.5, atol=0.05)
    assert values.shape == (2, 2) and np.abs(values[0]).max() < 0.05, "MLP above cross-attention"
    assert figures.path_maps(summary, tmp_path) == []
    from rich.console import Console

    with (console := Console(width=100)).capture() as said:
        console.print(terminal_table(summary, 100))
    assert "0.5" in said.get() and "▲" in said.get()


def test_the_page_has_every_site_with_its_verdict(summary: pd.DataFrame) -> None:
    from mech_music.report.clips import Heard
    from mech_music.report.default import view_of
    from mech_music.report.payload import payload
    from mech_music.results.tables import schema_of

    view = view_of(schema_of(summary))
    effects = view.beside(summary)
    data = payload(view.fitted(effects), effects, summary, Heard())
    verdicts = dict(zip(zip(data["columns"]["component"], data["columns"]["layer"], strict=True),
                        data["columns"]["verdict"], strict=True))  # fmt: skip
    assert verdicts["ca", "0"] == verdicts["ca", "1"] == ABOVE != verdicts["mlp", "0"]
    assert data["view"]["heat"]["down"] == "component"
    along = effects.assign(receiver=["mlp1", "mlp0"] * (len(effects) // 2))
    assert view.fitted(along).heat.down == "receiver"


# -- paths ---------------------------------------------------------------------------------------------------


def test_a_path_holds_every_branch_between_and_the_end() -> None:
    run = composed("path=ca4-mlp5", "prompts=2", "controls=[]")
    trial = next(iter(trials(run)))
    (received,) = trial.row.edits
    along = received.row
    assert received.hook == "blocks.5.hook_mlp_out" and replace(along, edits=()) == trial.run.base
    sender, *held = along.edits
    assert sender == Patch("blocks.4.hook_cross_attn_out", trial.run.source)
    assert [patch.hook for patch in held] == [
        "blocks.4.hook_mlp_out", "blocks.5.hook_attn_out", "blocks.5.hook_cross_attn_out", "blocks.7.hook_resid_post",
    ]  # fmt: skip
    assert {patch.row for patch in held} == {trial.run.base}
    every = composed("path=ca-mlp").sites
    assert len(every) == 8 * 9 // 2 and {site.to for site in every} == {f"mlp{n}" for n in range(8)}


@pytest.fixture
def own(made: HookedMusicGen, tmp_path: Path):
    return engine(made, tmp_path)


def at(own, row: Row, names: list[str]) -> dict[str, Tensor]:
    """What a row has at hooks: ``[step, half, width]``, and its tokens."""
    hooks = [Hook.parse(name) for name in names]
    recorded = own.passes._activations([row], own.passes.model.select_hooks(names))
    found = {hook.name: torch.stack(list(recorded[row, hook]))[:, :, 0] for hook in hooks}
    return found | {"tokens": own.passes.tokens([row])[0]}


def test_the_receiver_hears_of_the_sender_through_the_stream_alone(own, made: HookedMusicGen) -> None:
    """Its input is base's stream, plus what the sender gives more of in the other clip: nothing in between moves."""
    (path,) = parse_paths("ca0-mlp2", MADE)
    (received,) = patches(path, CLEAN, CORRUPTED, Window())
    sender, stream, output = "blocks.0.hook_cross_attn_out", "blocks.2.hook_resid_mid_cross", "blocks.2.hook_mlp_out"
    base, source = (at(own, row, [sender, stream, output]) for row in (CLEAN, CORRUPTED))
    along = at(own, received.row, [sender, stream, output])
    assert torch.equal(along["tokens"], base["tokens"]), "its end is held: it is base's own clip"
    assert not torch.equal(base["tokens"], source["tokens"])
    heard = base[stream] + source[sender] - base[sender]
    torch.testing.assert_close(along[stream], heard, atol=1e-5, rtol=1e-5)
    layer: Any = made.musicgen.lm.transformer.layers[2]
    with torch.no_grad():
        wanted = layer.linear2(layer.activation(layer.linear1(layer.norm2(heard))))
    torch.testing.assert_close(along[output], wanted, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(along[output], base[output], atol=1e-4)
    final = at(own, replace(CLEAN, edits=(received,)), [output])
    assert torch.equal(final[output], along[output])


def test_a_path_from_the_clip_itself_and_itself_everywhere_are_the_clip(own) -> None:
    (path,) = parse_paths("sa0-ca2", MADE)
    rows = [
        replace(CLEAN, edits=patches(path, CLEAN, CLEAN, Window())),
        replace(CLEAN, edits=tuple(Patch(hook.name, CLEAN) for hook in everywhere(MADE))),
        CLEAN,
    ]
    found = own.passes.tokens(rows)
    assert torch.equal(found[0], found[2]) and torch.equal(found[1], found[2])


def test_path_maps_are_receiver_by_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = composed("path=ca+mlp0-mlp1+mlp7", "prompts=5", "controls=[]")
    saved: list[canvas.Sheet] = []
    monkeypatch.setattr(canvas.Sheet, "save", lambda sheet, folder, name: saved.append(sheet) or [folder / name])
    table = known(run)
    (path,) = figures.path_maps(summarise(table, 50, 0.95, 0), tmp_path)
    assert path.name == "paths_guitar-piano_denoise_tiny"
    first, second = saved[0].axes[:2]
    assert [label.get_text() for label in first.get_yticklabels()] == ["mlp1", "mlp7"]
    values = np.ma.filled(np.ma.asarray(second.images[0].get_array()), np.nan)
    assert values.shape == (2, 8) and np.isnan(values[0, 2:]).all(), "no path back from later senders"
    assert len(set(runs(run))) == 5


def test_the_command_leaves_tables_maps_and_sounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = CommandLine(tmp_path, monkeypatch)
    words = (
        "pair=piano-violin",
        "component=ca",
        "layer='1,3'",
        "windows=2",
        "prompts=3",
        "duration=1",
        "audio.weakest=0",
    )
    assert command("task=patching", *words, "statistics.resamples=20") == 0
    table = read_table(tmp_path / "run" / "table.parquet")
    assert len(table) == 3 * (1 + 2 * 2 * 2) and set(table["frames"]) == {"", "0:14", "14:28"}
    assert [path.name for path in (tmp_path / "run" / "figures").glob("*.png")] == [
        "patching_piano-violin_denoise_tiny.png"
    ]
    assert len([*(tmp_path / "run" / "audio").glob("strongest-1_denoise_ca*_patched.wav")]) == 1
