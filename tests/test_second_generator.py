"""Everything runs on a generator that is unlike MusicGen: engine, store, streams, and the main job from its command."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mech_music.activations.streams import stream
from mech_music.base.errors import UserError
from mech_music.config.schema import EngineConfig, ModelConfig
from mech_music.dashboard.__main__ import run as dashboard
from mech_music.edits.patch import Patch
from mech_music.edits.row import Edit, Exit, Half, Mean, Prefix, Prompts, Reading, Row, Term
from mech_music.engine.engine import Engine
from mech_music.engine.passes import PassRunner, Settings
from mech_music.listeners.likelihood import Likelihood
from mech_music.models.handle import LoadedModel
from mech_music.models.sampling import Sampling
from mech_music.report.__main__ import main as report
from mech_music.report.page import Page
from mech_music.results.tables import read_table
from mech_music.store import Store
from tests.composing import CommandLine
from tests.made_engine import FIT, MadeListener
from tests.report.test_page import cells, part
from tests.second_generator import SecondGenerator
from tests.wandb_records import finished

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


LISTENER = '''
import numpy as np


class Pulse:
    """How often a clip's first codebook repeats a token, frame after frame; ``lag`` frames apart."""

    in_background = True

    def __init__(self, lag):
        self.lag, self.id = lag, f"pulse {lag}"

    @classmethod
    def from_run(cls, run, lag=1):
        return cls(lag)

    def load(self):
        pass

    def read(self, clips):
        first = clips.tokens[:, 0].cpu().numpy()
        same = first[:, self.lag :] == first[:, : -self.lag]
        return {"pulse": same.mean(axis=1, dtype=np.float32)}


def pulse(heard):
    before, after = heard.readings["pulse"]
    return after["pulse"] - before["pulse"]
'''
OUTSIDE = {
    "a_pulse.py": LISTENER,
    "listener/pulse.yaml": "_target_: a_pulse.Pulse\nlag: 2\n",
    "metric/pulse.yaml": "_target_: a_pulse.pulse\nlisteners: [pulse]\nword: pulse\nmeaning: tokens that come again\n",
    "model/second.yaml": "_target_: tests.test_second_generator.Second\n"
    "name: second\nlayers: 3\nframe_rate: 20.0\ncodebooks: 1\ndelay: 0\ncross_attention: false\n",
}


def test_the_main_job_with_a_listener_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file and a YAML each, outside the package: from a run and a sweep to terminal, figures, page and W&B."""
    own = tmp_path / "own"
    for name, text in OUTSIDE.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(text)
    monkeypatch.setenv("MECH_MUSIC_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("sys.path", [os.getcwd(), *sys.path])
    command = CommandLine(tmp_path, monkeypatch, made_up=False)
    words = [
        "--config-dir",
        str(own),
        "model=second",
        "classifier=tiny",
        "prompts=3",
        "duration=1",
        "metrics=[pulse]",
        "design.mean_prompts=5",
    ]
    words += ["statistics.resamples=20", "audio.strongest=1", "audio.weakest=0", "engine.workers=1", "logger=wandb"]
    assert command("-m", *words, "layer='0,together'", "component=mlp,sa") == 0
    table, sweep = read_table(tmp_path / "sweep" / "table.parquet"), tmp_path / "sweep"
    assert set(table["model"]) == {"second"} and not table["failed"].to_numpy().any()
    assert set(table["component"]) == {"", "mlp", "sa"} and set(table["layer"]) == {"", "0", "together"}
    assert np.abs(table.query("role == 'technique'")["pulse"].to_numpy()).max() > 0
    assert "pulse" in capsys.readouterr().out, "in the terminal"
    assert ">pulse<" in "".join(path.read_text() for path in (sweep / "figures").glob("*.svg"))
    logged = [finished(folder).summary for folder in sweep.rglob("offline-run-*")]
    assert len(logged) == 2 and all("together/pulse" in one or "pulse" in one for one in logged)
    report([str(sweep), "--config-dir", str(own)])
    page = Page((sweep / "report.html").read_text(), 0)
    assert np.isfinite(cells(page)["pulse"].tolist()).all() and len(part(page, "sounds")) > 0
    dashboard([str(sweep), "--config-dir", str(own)], Console(quiet=True))
    assert "pulse" in (sweep / "dashboard" / "workspace.json").read_text()


def test_a_second_listener_over_a_stored_sweep_makes_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine(tmp_path)
    first.answers(rows(), ["classifier"])

    def fail(*_: object) -> int:
        raise AssertionError("a pass was made")

    monkeypatch.setattr(PassRunner, "perform", fail)
    heard = engine(tmp_path).answers(rows(), ["likelihood"])
    assert all(np.isfinite(heard.reading(row, "likelihood")["nats"]).all() for row in rows())
