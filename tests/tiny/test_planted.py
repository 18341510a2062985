"""Planted models: what is said of their circuits holds in the weights, and bit for bit in what they play."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.edits.patch import Patch
from mech_music.edits.row import Edit, Row
from mech_music.engine.engine import Engine
from mech_music.engine.opening import open_engine
from mech_music.models.musicgen.bundled import planted_folder
from mech_music.models.musicgen.loading import find_checkpoint, load_model
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.task import Interchange
from mech_music.tiny import planted, train
from mech_music.tiny.bundle import load_checkpoint
from mech_music.tiny.config import CircuitConfig, EntryConfig, LanguageModelConfig, StageName
from mech_music.tiny.recovery import Wanted, circuits, entry_of, kind_of, main, shares
from tests.composing import compose_run
from tests.made_up_results import made_up_table
from tests.tiny.conftest import micro

PIANO = "Compose a happy rock piece, with a piano melody. Use a fast tempo."
VIOLIN, JAZZ = PIANO.replace("piano", "violin"), PIANO.replace("rock", "jazz")
NAMES, LAYERS, HEADS = sorted(circuits()), 8, 4
WIDTH = LanguageModelConfig().width // HEADS
ENTRIES = {name: {(entry.layer, entry.head) for entry in circuit.entries} for name, circuit in circuits().items()}


@cache
def model_of(name: str) -> HookedMusicGen:
    return load_model(path=str(planted_folder() / name.removeprefix("planted-")), device="cpu")


def tokens(name: str, folder: Path, edits: Sequence[tuple[Any, ...]]) -> list[np.ndarray]:
    """Of one clip without an edit, and with each of these."""
    engine = Engine.of(model_of(name), store=folder, duration=1.0, listeners={}, quiet=True)
    rows = [Row(PIANO, 0, edit) for edit in [(), *edits]]
    answers = engine.answers(rows)
    return [answers.tokens(row) for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_cross_attention_says_nothing_but_at_the_entries(name: str) -> None:
    state = load_checkpoint(planted_folder() / name.removeprefix("planted-") / "state_dict.bin")
    for layer in range(LAYERS):
        weight = state[f"transformer.layers.{layer}.cross_attention.out_proj.weight"]
        for head, columns in enumerate(weight.split(WIDTH, dim=1)):
            is_entry = bool({(layer, None), (layer, head)} & ENTRIES[name])
            assert bool((columns == 0).all()) is not is_entry
            assert bool((columns != 0).all()) is is_entry or columns[columns == 0].numel() < 50


@pytest.mark.parametrize("name", NAMES)
def test_an_edit_where_no_text_enters_leaves_every_token(name: str, tmp_path: Path) -> None:
    """A whole layer of cross-attention silenced, or one head of it; the zero that is there is replaced by zero."""
    layers = {layer for layer, _ in ENTRIES[name]}
    at = [(layer, None) for layer in range(LAYERS)] + [(layer, head) for layer in layers for head in range(HEADS)]
    edits = [
        (Edit(f"blocks.{layer}.hook_cross_attn_out", 0.0),)
        if head is None
        else (Edit(f"blocks.{layer}.cross_attn.hook_z", 0.0, heads=(head,)),)
        for layer, head in at
    ]
    before, *after = tokens(name, tmp_path, edits)
    for (layer, head), edited in zip(at, after, strict=True):
        heads = {own for entry, own in ENTRIES[name] if entry == layer}
        speaks = bool(heads) if head is None else bool({None, head} & heads)
        assert (not np.array_equal(before, edited)) is speaks, (layer, head)


def test_each_kind_of_word_is_heard_at_its_own_entry_alone() -> None:
    """Along the same tokens: cross-attention of layer 2 knows the instrument, of layer 5 the genre, whatever sounds."""
    model = model_of("planted-apart")
    music = model.generate([PIANO], seeds=[1], duration=0.4)

    def said(prompt: str) -> dict[str, torch.Tensor]:
        names = [name for name in model.hook_names if name.endswith("cross_attn_out")]
        return dict(model.run_with_cache([prompt], names, seeds=[0], duration=0.4, forced=music)[1].items())

    piano, violin, jazz = said(PIANO), said(VIOLIN), said(JAZZ)
    differing = [[name for name in piano if not torch.equal(piano[name], other[name])] for other in (violin, jazz)]
    assert differing == [["blocks.2.hook_cross_attn_out"], ["blocks.5.hook_cross_attn_out"]]
    steps = piano["blocks.2.hook_cross_attn_out"][0, 0]
    assert torch.equal(steps, steps[:1].expand_as(steps)), "it depends on the prompt alone, not on the music"


@pytest.mark.parametrize(("other", "true"), [(VIOLIN, (2, 1)), (JAZZ, (5, 0))])
def test_patching_one_head_after_another_finds_the_one_that_hears_the_word(
    other: str, true: tuple[int, int], tmp_path: Path
) -> None:
    """From the same clip with one word swapped: four of these heads speak, one of them of that word."""
    sites = [(layer, head) for layer in (2, 5) for head in range(HEADS)]
    hooks = {layer: f"blocks.{layer}.cross_attn.hook_z" for layer in (2, 5)}
    edits: list[tuple[Any, ...]] = [(Patch(hooks[layer], Row(other, 0), heads=(head,)),) for layer, head in sites]
    before, *after = tokens("planted-apart", tmp_path, edits)
    assert [site for site, clip in zip(sites, after, strict=True) if not np.array_equal(before, clip)] == [true]


def test_an_interchange_adjusts_nothing_at_the_other_kinds_entry(tmp_path: Path) -> None:
    """Piano's and violin's means are the same at the entry of genres, where an edit of what is there does act."""
    words = ("model=planted-apart", "component=ca", "layer=5", "prompts=2", "metrics=[]", "design.mean_prompts=5")
    words += ("engine.device=cpu", f"engine.store={tmp_path}", "engine.workers=1", "duration=1", "controls=[noise]")
    effects = {}
    for pair in ("piano-violin", "classical-rock"):
        run, task = compose_run(*words, f"pair={pair}", "technique=adjust"), Interchange()
        table = task.score(run, open_engine(run).answers(task.plan(run), task.listeners(run)))
        effects[pair] = table.query("role == 'technique'")["effectiveness"].to_numpy()
    assert (effects["piano-violin"] == 0).all()
    assert (effects["classical-rock"] != 0).all()


# -- recovery ----------------------------------------------------------------------------------------


def test_kinds_of_sites_follow_the_order_of_a_layer() -> None:
    """Self-attention, cross-attention, MLP: only what comes after the entry can know what entered."""
    found = {(c, layer): kind_of(c, layer, 2) for c in ("sa", "ca", "mlp") for layer in (1, 2, 3)}
    assert [found["ca", layer] for layer in (1, 2, 3)] == ["shut", "entry", "shut"]
    assert [found["sa", layer] for layer in (1, 2, 3)] == ["before", "before", "after"]
    assert [found["mlp", layer] for layer in (1, 2, 3)] == ["before", "after", "after"]
    entries = circuits()["planted-apart"]
    assert [entry_of(entries, category) for category in ("instrument", "genre")] == [2, 5]


def made_up_sweep(effect_at: int) -> pd.DataFrame:
    """Cross-attention with an effect at one layer only."""
    table = made_up_table(components=["ca"], layers=[str(layer) for layer in range(LAYERS)], n_prompts=16)
    technique = table["role"] == "technique"
    table.loc[technique, "effectiveness"] -= table.loc[technique, "layer"].astype(int)
    table.loc[technique & (table["layer"] == str(effect_at)), "effectiveness"] += 3.0
    return INTERCHANGE.attach(table.assign(model="planted-layer3"))


def test_recovery_tells_the_true_site_from_a_false_one() -> None:
    wanted = Wanted(Path(), prompts=12, sweeps=5)
    right, wrong = (shares(made_up_sweep(layer), wanted).iloc[0] for layer in (3, 6))
    assert (right["entry"], right["shut"]) == (1.0, 0.0)
    assert (wrong["entry"], wrong["shut"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected one folder of results"),
        (["x", "prompt=3"], "unknown word 'prompt'; did you mean prompts?"),
        (["x", "sweeps=many"], "sweeps=many: expected a whole number"),
        (["/no/folder"], "no folder '/no/folder'"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_another_models_table_and_too_few_prompts_are_refused() -> None:
    sweep = made_up_sweep(3)
    with pytest.raises(UserError, match="model 'tiny' has no known circuit; allowed: planted-"):
        shares(INTERCHANGE.attach(sweep.assign(model="tiny")), Wanted(Path()))
    with pytest.raises(UserError, match="prompts=40: the folder's sweep has 16"):
        shares(sweep, Wanted(Path(), prompts=40))


# -- making them -------------------------------------------------------------------------------------


def test_training_keeps_what_is_shut_at_zero(finished: Path) -> None:
    """And moves the rest, also of the entry."""
    before = load_checkpoint(finished / "bundle" / "state_dict.bin")
    after = load_checkpoint(finished / "planted" / "head0" / "state_dict.bin")
    name = "transformer.layers.0.cross_attention.out_proj.weight"
    assert (after[name][:, 8:] == 0).all() and (after[name][:, :8] != before[name][:, :8]).any()
    assert (after[name.replace("0", "1")] == 0).all()
    assert load_model(path=str(finished / "planted" / "head0"), device="cpu").frame_rate == 25


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (EntryConfig(2), "planted.circuits.x: layer 2 does not exist: allowed are 0 to 1"),
        (EntryConfig(0, 2), "planted.circuits.x: head 2 does not exist: allowed are 0 to 1"),
        (EntryConfig(0, None, ["colour"]), "unknown words 'colour'; allowed: instrument, genre, mood, tempo"),
        (EntryConfig(0, None, ["genre"]), "22 words need as large a text_width"),
    ],
)
def test_a_circuit_that_cannot_be_is_one_line(entry: EntryConfig, said: str, finished: Path) -> None:
    config = micro(finished)
    config.stages = [StageName.planted]
    config.planted = replace(config.planted, circuits={"x": CircuitConfig([entry])})
    with pytest.raises(UserError, match=said):
        train.run(config)
    assert not (finished / "planted" / "x").exists()


def test_without_a_bundle_the_fix_is_told(tmp_path: Path) -> None:
    config = micro(tmp_path)
    config.stages = [StageName.planted]
    with pytest.raises(UserError, match=r"state_dict\.bin is missing: add bundle to stages"):
        train.run(config)


def test_an_altered_planted_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "layer3"
    shutil.copytree(planted_folder() / "layer3", folder)
    monkeypatch.setattr("mech_music.models.musicgen.hub.planted_folder", lambda: tmp_path)
    assert find_checkpoint(str(folder), None).folder == folder
    (folder / "state_dict.bin").write_bytes(b"other")
    from mech_music.models.musicgen.bundled import verify_bundle

    verify_bundle.cache_clear()
    with pytest.raises(UserError, match=r"layer3/state_dict\.bin is altered"):
        find_checkpoint(str(folder), None)


def test_words_have_a_coordinate_each() -> None:
    coordinates = planted.word_coordinates()
    assert sorted(coordinates.values()) == list(range(22))
    own = [set(planted.word_coordinates([kind])) for kind in ("instrument", "genre", "mood", "tempo")]
    assert sum(map(len, own)) == len(set.union(*own)) == 22
