"""Everything runs on a generator that is unlike MusicGen: engine, store, streams, and the main job from its command."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mech_music.activations.streams import stream
from mech_music.base.errors import UserError
from mech_music.config.schema import EngineConfig, ModelConfig
from mech_music.edits.patch import Patch
from mech_music.edits.row import Edit, Exit, Half, Mean, Prefix, Prompts, Reading, Row, Term
from mech_music.engine.engine import Engine
from mech_music.engine.passes import Settings
from mech_music.listeners.likelihood import Likelihood
from mech_music.models.handle import LoadedModel
from mech_music.models.sampling import Sampling
from mech_music.store import Store
from tests.composing import CommandLine
from tests.made_engine import FIT, MadeListener
from tests.second_generator import SecondGenerator

SAMPLING = Sampling(top_k=8)
SETTINGS = Settings(SAMPLING, duration=1.0)
MEAN = Mean(Prompts.of(["Compose a happy rock piece.", "Play."]))
PROMPTS = ["Compose a happy rock piece.", "Play.", "A slow tune."]


class Second(LoadedModel):
    """What ``conf/model/second.yaml`` names."""

    def __init__(self, config: ModelConfig, device: str, threads: int) -> None:
        super().__init__(SecondGenerator(config.layers), config.name)


def engine(folder: Path, pack: int = 0, workers: int = 1) -> Engine:
    listeners = {"classifier": MadeListener, "likelihood": lambda: Likelihood(SAMPLING)}
    source, how = LoadedModel(SecondGenerator()), EngineConfig(pack=pack, workers=workers)
    return Engine(source, Store(folder), SETTINGS, listeners, how, quiet=True)


def rows() -> list[Row]:
    edits = [
        (),
        (Edit("blocks.0.hook_mlp_out", 0.0, (Term(1.0, MEAN),)),),
        (Edit("blocks.1.attn.hook_z", 0.0, heads=(1,)),),
        (Patch("blocks.1.hook_attn_out", Row("Play.", 5)),),
    ]
    found = [Row(prompt, seed, edit) for prompt in PROMPTS for seed in (0, 1) for edit in edits]
    exits = [Exit("blocks.0.hook_resid_post"), Exit("blocks.1.hook_resid_post", Reading.forced, FIT)]
    return (
        found + [Row(PROMPTS[0], 0, exit=leave) for leave in exits] + [Row(PROMPTS[1], 0, prefix=Prefix.of([[3, 4]]))]
    )


def test_rows_edits_packing_and_store(tmp_path: Path) -> None:
    """The same alone, packed, in worker processes, and from the store."""
    wanted = rows()
    whole = engine(tmp_path / "whole").answers(wanted, ("classifier",))
    assert len({whole.tokens(row).tobytes() for row in wanted}) > 0.8 * len(wanted), "edits take effect"
    for name, how in (("small", {"pack": 8}), ("workers", {"pack": 8, "workers": 2})):
        again = engine(tmp_path / name, **how).answers(wanted, ("classifier",))
        for row in wanted:
            assert np.array_equal(again.tokens(row), whole.tokens(row))
            one, other = (answers.reading(row, "classifier")["logits"] for answers in (again, whole))
            assert np.array_equal(one, other)
    prefix = whole.tokens(wanted[-1])
    assert prefix[0, :2].tolist() == [3, 4]
    own = engine(tmp_path / "whole")
    found = own.rows_of(whole.key(row) for row in wanted)
    assert found == {whole.key(row): row for row in wanted}, "read back without the plan"


def test_a_half_that_it_does_not_have_is_one_line(tmp_path: Path) -> None:
    row = Row("Play.", 0, (Edit("blocks.0.hook_mlp_out", 0.0, half=Half.uncond),))
    with pytest.raises(UserError, match="no guidance"):
        engine(tmp_path).answers([row])


def test_streams_and_likelihood(tmp_path: Path) -> None:
    model = SecondGenerator()
    (chunk,) = stream(model, "blocks.2.hook_resid_post", [Row("Play.", 0)], sampling=SAMPLING, duration=1.0)
    assert chunk.values["blocks.2.hook_resid_post"].shape == (1, 20, 1, 24)
    plain = Row("Play.", 0)
    damaged = replace(plain, edits=tuple(Edit(f"blocks.{layer}.hook_mlp_out", -3.0) for layer in range(3)))
    answers = engine(tmp_path).answers([plain, damaged], ("likelihood",))
    nats = [float(answers.reading(row, "likelihood")["nats"]) for row in (plain, damaged)]
    assert nats[0] < nats[1], "an edit makes a clip less likely"


def test_the_main_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a YAML outside the package: a run and a sweep, to their tables."""
    conf = tmp_path / "conf" / "model"
    conf.mkdir(parents=True)
    (conf / "second.yaml").write_text(
        "_target_: tests.test_second_generator.Second\n"
        "name: second\nlayers: 3\nframe_rate: 20.0\ncodebooks: 1\ndelay: 0\ncross_attention: false\n"
    )
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    monkeypatch.syspath_prepend(os.getcwd())
    command = CommandLine(tmp_path, monkeypatch, made_up=False)
    words = ["--config-dir", str(conf.parent), "model=second", "classifier=tiny", "prompts=3", "duration=1"]
    words += ["layer=0,together", "statistics.resamples=20", "audio.strongest=1", "audio.weakest=0", "engine.workers=1"]
    assert command(*[word.replace("0,together", "together") for word in words]) == 0
    table = pd.read_parquet(tmp_path / "run" / "table.parquet")
    assert set(table["model"]) == {"second"} and not table["failed"].to_numpy().any()
    assert command("-m", *words, "component=mlp,sa") == 0
    table = pd.read_parquet(tmp_path / "sweep" / "table.parquet")
    assert set(table["component"]) == {"", "mlp", "sa"} and set(table["layer"]) == {"", "0", "together"}
