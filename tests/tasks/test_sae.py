"""What SAEs' evaluation asks for and writes down, with records whose values are known."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mech_music.activations.recipes import in_order
from mech_music.base.errors import UserError
from mech_music.cli.validation import validate
from mech_music.engine.engine import Answers
from mech_music.prompts.declared import load_prompt_set
from mech_music.results import tables
from mech_music.results.figures import draw_all
from mech_music.results.terminal import terminal_table
from mech_music.saes.files import read_sae
from mech_music.saes.named import AtNeighbours, Firing, RandomSae, SplicedIn, TrainedSae, Training
from mech_music.saes.settings import held_out, named_by, spliced, trained_on
from mech_music.tasks.protocol import Exporting
from mech_music.tasks.sae.columns import SAE
from mech_music.tasks.sae.concept_scores import Word, best_features, labels
from mech_music.tasks.sae.task import SaeTask
from tests.composing import compose_run
from tests.saes.made import VERSION_5, weights, write

STUDY = load_prompt_set()
RUN = ("task=sae", "sae.clips=30", "sae.held_out=10", "sae.spliced=4", "sae.width=6", "sae.k=2", "prompts=2")
N, WIDTH = 6, 5


def firing(source: Firing, seed: int = 0) -> dict[str, np.ndarray]:
    """Feature 2 fires on rock alone (where it is the SAE's), neuron 1 on all but rock; feature 5 never fires."""
    draw = np.random.default_rng(seed)
    clips = source.harvest.rows
    rock = np.array(["rock" in row.prompt for row in clips], dtype=float)
    activation = draw.random((len(clips), N))
    neuron = draw.random((len(clips), WIDTH))
    if isinstance(source.sae, TrainedSae):
        activation[:, 2] = rock + 0.01 * draw.random(len(clips))
        neuron[:, 1] = -rock
    activation[:, 5] = 0
    error = np.stack([np.arange(len(clips)), np.full(len(clips), 40.0)], axis=1)
    return {
        "activation": activation,
        "share": activation * 0.06,
        "neuron": neuron,
        "error": error,
        "variance": np.stack([np.full(len(clips), 50.0), np.full(len(clips), 80.0)], axis=1),
        "l0": np.full(len(clips), 2.0),
        "largest": activation.max(axis=0),
        "covariance": np.eye(WIDTH),
        "mean": np.zeros((2, WIDTH)),
    }


def answers_of(requests: list[Any]) -> Answers:
    records = {}
    for source in requests:
        if isinstance(source, Firing):
            records[source] = firing(source)
        elif isinstance(source, AtNeighbours):
            fvu = 0.3 + 0.01 * np.random.default_rng(0).random(10)
            records[source] = {"fvu blocks.11.hook_resid_post": fvu, "fvu blocks.10.hook_resid_post": fvu - 0.1}
        elif isinstance(source, SplicedIn):
            kl = np.arange(4, dtype=float)[:, None] + np.array([1.0, 2.0])
            records[source] = {"kl_sae": kl / 10, "kl_mean": kl, "kl_zero": 2 * kl}
            records[source] |= {f"agreement_{way}": np.full((4, 2), 0.5) for way in ("sae", "mean", "zero")}
        else:
            made = weights()
            record = {"W_enc": made["W_enc"], "b_enc": made["b_enc"], "W_dec": made["W_dec"], "b_dec": made["b_dec"]}
            records[source] = {name: x.numpy() for name, x in record.items()} | {
                "k": np.array(2), "jumprelu": np.array(False),
                "history": np.array([[20.0, 0.5, 2.0, 0.0, 0.6], [33.0, 0.4, 2.0, 0.1, 0.5]])}  # fmt: skip
    return Answers({}, records=records)


def scored(*more: str) -> tuple[Any, pd.DataFrame]:
    run, task = compose_run(*RUN, *more), SaeTask()
    return run, task.score(run, answers_of(task.plan(run)))


def test_an_sae_for_each_layer_and_its_controls() -> None:
    run = compose_run(*RUN, "layer='2,0'", "component=mlp", "sae.activation=relu", "sae.seed=3")
    plan = SaeTask().plan(run)
    saes = [one for one in plan if isinstance(one, TrainedSae)]
    assert [sae.hook for sae in saes] == ["blocks.2.hook_mlp_out", "blocks.0.hook_mlp_out"]
    assert (saes[0].fit.training, saes[0].fit.k, saes[0].fit.sparsity, saes[0].fit.seed) == (Training.relu, 0, 0.3, 3)
    firings = [one for one in plan if isinstance(one, Firing)]
    assert len(firings) == 8 and sum(isinstance(one.sae, RandomSae) for one in firings) == 4


def test_sizes_and_layers_of_a_sweep_are_trained_in_one_pass() -> None:
    """Widths, k and ways of training share the clips and the batches; another seed does not."""
    words = (("sae.width=8", "layer='1,2'"), ("sae.k=1",), ("sae.activation=matryoshka",), ("sae.seed=1",))
    wanted = [one for more in words for one in SaeTask().plan(compose_run(*RUN, *more)) if isinstance(one, TrainedSae)]
    assert [len(group) for group in in_order(wanted)] == [4, 1]


def test_clips_held_out_have_other_prompts_and_other_noise() -> None:
    run = compose_run(*RUN, "sae.clips=1000")
    train, held = trained_on(run.sae, STUDY), held_out(run.sae, STUDY)
    assert not set(train.prompts.texts) & set(held.prompts.texts)
    assert not {row.seed for row in train.rows} & {row.seed for row in held.rows}
    assert len({*train.rows, *held.rows}) == 1020
    assert spliced(run.sae, STUDY).rows == held.rows[:4]
    genres = [STUDY.categories["genre"].words[0] in text for text in train.prompts.texts[:70]]
    assert abs(sum(genres) - 10) <= 2, "balanced"


def test_a_line_for_each_clip_and_each_word() -> None:
    _run, table = scored()
    conformed = tables.conform(table)
    assert tuple(table.columns) == SAE.names and len(conformed) == len(table)
    summary = tables.summarise(table, 50, 0.95, 0).set_index(["measured", "role"])
    clips, concepts = summary.loc["clips"], summary.loc["concepts"]
    assert clips.loc["sae", "fvu"] == pytest.approx(np.arange(20).mean() / 50)
    assert clips.loc["sae", "fvu_uncond"] == pytest.approx(0.5)
    assert clips.loc["sae", "dead"] == pytest.approx(1 / 6)
    assert clips.loc["sae", "recovered"] == pytest.approx(0.9)
    assert clips.loc["sae", "recovered_uncond"] == pytest.approx(0.9)
    assert clips.loc["sae", "recovered_zero"] == pytest.approx(0.95)
    assert clips.loc["zero", "recovered"] == pytest.approx(-1.0) and clips.loc["mean", "recovered"] == pytest.approx(0)
    assert set(clips.index) == {"sae", "random", "mean", "zero"}
    assert set(concepts.index) == {"sae", "random", "neuron", "pca", "shuffled"}
    rock: Any = table.query("prompt == 'genre: rock'").set_index("role")["auroc"]
    assert rock["sae"] == 1 and rock["neuron"] == 1, "the neuron with its sign turned"
    assert rock["random"] < 1 and rock["shuffled"] < 1


def test_a_feature_is_chosen_on_other_clips_than_it_is_measured_on() -> None:
    word, positive = Word("genre", "rock"), np.array([True, True, False, False])
    here = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], dtype=float)  # the first tells it here, the second there
    there = here[:, ::-1]
    (best,) = best_features(here, {word: positive}, there, {word: positive})
    assert (best.feature, best.chosen_by, best.auroc) == (0, 1.0, 0.5)


def test_shuffled_labels_are_as_many() -> None:
    run = compose_run(*RUN)
    own, dealt = (labels(STUDY, trained_on(run.sae, STUDY), shuffle) for shuffle in (None, 3))
    every = Word("instrument", "flute")
    assert (own[every] != dealt[every]).any()
    assert sum(own[word].sum() for word in own) == sum(dealt[word].sum() for word in dealt)


def test_what_is_left_in_the_jobs_folder(tmp_path: Path) -> None:
    run, task = compose_run(*RUN), SaeTask()
    assert isinstance(task, Exporting)
    task.export(run, answers_of(task.plan(run)), "abc", tmp_path)
    sae = read_sae(tmp_path / "saes" / "blocks.4.hook_resid_post")
    assert (sae.about.model, sae.about.weights, sae.about.frame_rate) == ("tiny", "abc", 25.0)
    history = pd.read_csv(tmp_path / "saes" / "blocks.4.hook_resid_post" / "training.csv")
    assert list(history["step"]) == [20, 33] and list(history["fvu"]) == [0.5, 0.4]
    features = pd.read_csv(tmp_path / "features.csv").set_index("feature")
    assert (features.loc[2, "category"], features.loc[2, "word"], features.loc[2, "auroc"]) == ("genre", "rock", 1.0)
    assert features.loc[5, "fires_at_all"] == 0 and not features.loc[5, "viable_fires_at_all"]
    activation = firing(Firing(named_by(run.sae, "blocks.4.hook_resid_post", STUDY), "", held_out(run.sae, STUDY)))
    assert features.loc[0, "fires_in_5_percent"] == pytest.approx((activation["share"][:, 0] > 0.05).mean())


BAD = {
    "sae.k=7": "sae.k=7: expected 1 to sae.width, 6",
    "sae.width=0": "sae.width=0: expected 1 or more",
    "sae.held_out=500": "sae.held_out=500: expected 2 to 437",
    "sae.rate=0": "sae.rate=0: expected a number above 0",
    "sae.spliced=21": "sae.spliced=21: expected at most the 20 held-out clips",
    "sae.path=/nowhere": "no SAE in '/nowhere'",
    "sae.path=hub:nobody": "sae.path=hub:nobody: expected hub:<owner>/<name>",
    "sae.revision=v1": "sae.revision=v1 belongs to an SAE that is read: give sae.path, or leave it out",
    "layer=together": "layer=together: ",
}


@pytest.mark.parametrize("word", BAD)
def test_what_cannot_be_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=f"^{BAD[word]}"):
        validate(compose_run(*RUN, word))


def test_a_file_is_of_one_layer(tmp_path: Path) -> None:
    folder = write(tmp_path, VERSION_5, weights())
    validate(compose_run(*RUN, f"sae.path={folder}"))
    with pytest.raises(UserError, match="is of one layer: give that one"):
        validate(compose_run(*RUN, f"sae.path={folder}", "layer='1,2'"))


def test_what_a_files_hook_is_called_is_shown_and_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(tmp_path / "file", VERSION_5, weights())
    run, table = scored("layer=11", f"sae.path={folder}", "model.layers=12")
    assert set(table["training"]) == {f"{run.sae.told}, written hook_layers.11"}
    plan = SaeTask().plan(run)
    (asked,) = [one for one in plan if isinstance(one, AtNeighbours)]
    assert asked.hook == "blocks.11.hook_resid_post" and len({row.prompt for row in asked.harvest.rows}) == 10
    SaeTask().export(run, answers_of(plan), "abc", tmp_path)
    found = pd.read_csv(tmp_path / "hook.csv")
    assert list(found["hook"]) == ["blocks.11.hook_resid_post", "blocks.10.hook_resid_post"]
    (line,) = [record.message for record in caplog.records if "unexplained" in record.message]
    assert "written for hook_layers.11" in line and "say sae.hook=blocks.10.hook_resid_post" in line
    silent = compose_run(*RUN, "layer=11", f"sae.path={folder}", "sae.check_hook=false", "model.layers=12")
    assert not any(isinstance(one, AtNeighbours) for one in SaeTask().plan(silent))


def test_a_line_in_the_terminal_and_a_figure_for_each_size(tmp_path: Path) -> None:
    _, table = scored("layer='0,2'")
    summary = tables.summarise(table, 50, 0.95, 0)
    console = Console(width=100, file=StringIO())
    console.print(terminal_table(summary, 100))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    for layer in (0, 2):
        (line,) = [line for line in text.splitlines() if f"resid {layer}," in line and "±" not in line]
        assert line.split()[-6:] == ["0.19", "0.50", "2.00", "0.17", "0.90", "0.50"]
    names = {path.name for path in draw_all(summary, tmp_path)}
    assert names == {"sae_tiny.png", "sae_tiny.svg"}
