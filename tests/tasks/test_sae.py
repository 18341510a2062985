"""What SAEs' evaluation asks for and writes down, with records whose values are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
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
from mech_music.saes.measured import Basis, Loudness, Meanings, Overlap, Pooled
from mech_music.saes.named import AtNeighbours, Firing, RandomSae, SplicedIn, TrainedSae, Training
from mech_music.saes.settings import held_out, named_by, spliced, trained_on
from mech_music.tasks.protocol import Exporting
from mech_music.tasks.sae import concept_scores
from mech_music.tasks.sae.columns import SAE
from mech_music.tasks.sae.concept_scores import Word, best_features, labels
from mech_music.tasks.sae.features import feature_lines
from mech_music.tasks.sae.task import SaeTask
from tests.composing import compose_run
from tests.saes.made import VERSION_5, weights, write

STUDY = load_prompt_set()
RUN = ("task=sae", "sae.clips=30", "sae.held_out=10", "sae.spliced=4", "sae.width=6", "sae.k=2", "prompts=2")
N = 6


def firing(source: Firing | Pooled, seed: int = 0) -> dict[str, np.ndarray]:
    """Feature 2 fires on rock alone (where it is the SAE's), neuron 1 on all but rock; feature 5 never fires."""
    draw = np.random.default_rng(seed)
    clips = source.harvest.rows
    rock = np.array(["rock" in row.prompt for row in clips], dtype=float)
    activation = draw.random((len(clips), N))
    of = source.of if isinstance(source, Pooled) else source.sae
    if isinstance(of, TrainedSae):
        activation[:, 2] = rock + 0.01 * draw.random(len(clips))
    activation[:, 5] = 0
    error = np.stack([np.arange(len(clips)), np.full(len(clips), 40.0)], axis=1)
    by_step = np.full((8, N), 0.5)
    by_step[:, 0] = 1, 0, 0, 0, 0, 0, 0, 0
    return {
        "activation": activation,
        "share": activation * 0.06,
        "error": error,
        "variance": np.stack([np.full(len(clips), 50.0), np.full(len(clips), 80.0)], axis=1),
        "l0": np.full(len(clips), 2.0),
        "largest": activation.max(axis=0),
        "by_step": by_step,
        "by_shifted_step": np.full((8, N), 0.5),
    }


def pooled(source: Pooled) -> dict[str, np.ndarray]:
    """Feature 4 of anything tells slow tempi by its pulse, by nothing else."""
    clips, draw = source.harvest.rows, np.random.default_rng(1)
    found = {name: draw.random((len(clips), N)) for name in ("mean", "pulse 50")}
    found["pulse 50"][:, 4] += ["a slow tempo" in row.prompt for row in clips]
    if isinstance(source.of, Basis):
        found["mean"][:, 1] = [-("rock" in row.prompt) for row in clips]
    else:
        found["mean"] = firing(source)["activation"]
    return found


def recorded(source: Any) -> dict[str, np.ndarray]:
    match source:
        case Firing():
            return firing(source)
        case Pooled():
            return pooled(source)
        case AtNeighbours():
            fvu = 0.3 + 0.01 * np.random.default_rng(0).random(10)
            return {"fvu blocks.11.hook_resid_post": fvu, "fvu blocks.10.hook_resid_post": fvu - 0.1}
        case SplicedIn():
            kl = np.arange(4, dtype=float)[:, None] + np.array([1.0, 2.0])
            found = {"kl_sae": kl / 10, "kl_mean": kl, "kl_zero": 2 * kl}
            return found | {f"agreement_{way}": np.full((4, 2), 0.5) for way in ("sae", "mean", "zero")}
        case Overlap():
            cosine = np.full(N, 0.2) if isinstance(source.other, RandomSae) else np.linspace(0.5, 1, N)
            return {"match": np.arange(N)[::-1], "cosine": cosine, "mutual": cosine > 0.5, "iou": cosine / 2}
        case Meanings():
            draws = 3 + 0.01 * np.random.default_rng(2).normal(size=(2, 20, 2, N))
            entropies = np.full((2, N), 3.0)
            entropies[1, 2], entropies[:, 5] = 1.0, np.nan
            return {"entropies": entropies, "null": draws, "firings": np.arange(N)}
        case Loudness():
            correlation = np.array([0.0, -0.9, 0, 0, 0, 0])
            silence = {"silence": np.array([0, 0, 0, 0.9, 0, 0]), "silent": np.array(0.1)}
            return {"correlation": correlation, "correlation_null": np.zeros(N), **silence}
    made = weights()
    record = {name: made[name].numpy() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    history = np.array([[20.0, 0.5, 2.0, 0.0, 0.6], [33.0, 0.4, 2.0, 0.1, 0.5]])
    return record | {"k": np.array(2), "jumprelu": np.array(False), "history": history}


def answers_of(requests: list[Any]) -> Answers:
    return Answers({}, records={source: recorded(source) for source in requests})


@cache
def scored(*more: str) -> tuple[Any, pd.DataFrame]:
    """With probes of one feature alone: larger ones are measured in tests/saes/test_probing.py."""
    run, task = compose_run(*RUN, *more), SaeTask()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concept_scores, "SIZES", (1,))
        return run, task.score(run, answers_of(task.plan(run)))


def test_an_sae_for_each_layer_and_its_controls() -> None:
    run = compose_run(*RUN, "layer='2,0'", "component=mlp", "sae.activation=relu", "sae.seed=3")
    plan = SaeTask().plan(run)
    saes = [one for one in plan if isinstance(one, TrainedSae)]
    assert [sae.hook for sae in saes] == ["blocks.2.hook_mlp_out", "blocks.0.hook_mlp_out"]
    assert (saes[0].fit.training, saes[0].fit.k, saes[0].fit.sparsity, saes[0].fit.seed) == (Training.relu, 0, 0.3, 3)
    firings = [one for one in plan if isinstance(one, Firing)]
    assert len(firings) == 6 and sum(isinstance(one.sae, RandomSae) for one in firings) == 2
    assert len([one for one in plan if isinstance(one, Pooled)]) == 2 * 4 * 2
    overlaps = [one for one in plan if isinstance(one, Overlap)]
    assert [type(one.other) for one in overlaps] == [TrainedSae, RandomSae] * 2
    for one in overlaps:
        if isinstance(one.other, TrainedSae) and isinstance(one.sae, TrainedSae):
            assert one.other == replace(one.sae, fit=replace(one.sae.fit, seed=4)), "the same clips"


def test_what_is_not_asked_for_is_not_planned(tmp_path: Path) -> None:
    def kinds(*words: str) -> set[type]:
        return {type(one) for one in SaeTask().plan(compose_run(*RUN, *words))}

    assert kinds() >= {Overlap, Meanings} and Loudness not in kinds()
    assert kinds("evaluation.seeds=0") & {Overlap} == set()
    assert kinds("evaluation.draws=0") & {Meanings} == set()
    assert Loudness in kinds("evaluation.sound=true")
    folder = write(tmp_path, VERSION_5, weights())
    assert kinds(f"sae.path={folder}") & {Overlap, TrainedSae} == set(), "nothing is known of other seeds"
    many = SaeTask().plan(compose_run(*RUN, "evaluation.seeds=3"))
    assert len([one for one in many if isinstance(one, Overlap)]) == 4


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
    assert set(concepts.index) == {"sae", "random", "neuron", "pca", "shuffled", "dense", "difference"}
    words = table[table["measured"] == "concepts"].set_index(["prompt", "role"])
    rock: Any = words.loc["genre: rock"]["auroc"]
    assert rock["sae"] == 1 and rock["neuron"] == 1, "the neuron with its sign turned"
    assert rock["random"] < 1 and rock["shuffled"] < 1 and rock["dense"] > 0.9
    slow: Any = words.loc["tempo: slow"]
    assert (slow.loc[["sae", "random", "neuron"], "auroc_pooled"] == 1).all(), "each may be pooled in its own way"
    assert (slow.loc[["sae", "neuron"], "auroc"] < 1).all()
    assert slow.loc["sae", "probe_1_pooled"] == 1 and slow.loc["shuffled", "auroc_pooled"] < 1
    again: Any = words.loc["genre: rock"]
    assert again.loc["sae", "cosine"] == pytest.approx(0.7) and again.loc["sae", "found_again"] == 1
    assert again.loc["random", "cosine"] == pytest.approx(0.2) and again.loc["random", "found_again"] == 0
    of_tempo = table[(table["measured"] == "tempo") & (table["role"] == "sae")]
    assert of_tempo["auroc"].tolist() == [words.loc[(told, "sae"), "auroc"] for told in of_tempo["prompt"]]
    assert len(of_tempo) == 5 and set(of_tempo["prompts"]) == {5}


def test_a_line_for_each_feature_beside_its_nulls() -> None:
    _run, table = scored()
    lines = table[table["measured"] == "features"].set_index(["role", "index"])
    np.testing.assert_allclose(lines.loc["sae", "cosine"], np.linspace(0.5, 1, N))
    assert lines.loc["sae", "found_again"].tolist() == [0, 0, 1, 1, 1, 1]
    assert not lines.loc["random", "found_again"].any()
    assert lines.loc[("sae", 2), "r"] == pytest.approx(2 / 3) and lines.loc[("sae", 2), "r_above"] == 1
    assert lines.loc["sae", "r_above"].sum() == 1 and not lines.loc["sae", "r_below"].any()
    assert abs(lines.loc[("frames", 2), "r"]) < 0.01 and abs(lines.loc[("patterns", 2), "r"]) < 0.01
    assert lines.loc[("sae", 0), "positional"] > 0.9 and lines.loc[("turned", 0), "positional"] == 0
    assert "features, one concept" in set(table["measured"])


def test_many_features_share_lines() -> None:
    n = 2500
    own = {"feature": np.arange(n), "kind": ["none"] * n, "kept": np.arange(n) % 2 == 0}
    table = pd.DataFrame(own | {"position": np.zeros(n), "position_null": np.zeros(n)})
    lines = [line for line in feature_lines(table) if line["measured"] == "features" and line["role"] == "sae"]
    assert [line["index"] for line in lines] == list(range(1024))
    assert np.mean([line["kept"] for line in lines]) == pytest.approx(0.5, abs=0.01)


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
    run, task = compose_run(*RUN, "evaluation.sound=true", "evaluation.filter.fires=fires_at_all",
                            "evaluation.filter.most=1"), SaeTask()  # fmt: skip
    assert isinstance(task, Exporting)
    task.export(run, answers_of(task.plan(run)), pd.DataFrame(), "abc", tmp_path)
    sae = read_sae(tmp_path / "saes" / "blocks.4.hook_resid_post")
    assert (sae.about.model, sae.about.weights, sae.about.frame_rate) == ("tiny", "abc", 25.0)
    history = pd.read_csv(tmp_path / "saes" / "blocks.4.hook_resid_post" / "training.csv")
    assert list(history["step"]) == [20, 33] and list(history["fvu"]) == [0.5, 0.4]
    features = pd.read_csv(tmp_path / "features.csv", keep_default_na=False).set_index("feature")
    assert (features.loc[2, "category"], features.loc[2, "word"], features.loc[2, "auroc"]) == ("genre", "rock", 1.0)
    assert features.loc[4, "pooled_word"] == "slow" and features.loc[4, "pooling"] == "pulse 50"
    assert features.loc[4, "pooled_auroc"] == 1.0 and features.loc[2, "kind"] == "one concept"
    assert features.loc[5, "fires_at_all"] == 0 and not features.loc[5, "viable_fires_at_all"]
    activation = firing(Firing(named_by(run.sae, "blocks.4.hook_resid_post", STUDY), "", held_out(run.sae, STUDY)))
    assert features.loc[0, "fires_in_5_percent"] == pytest.approx((activation["share"][:, 0] > 0.05).mean())
    assert features["match"].tolist() == [5, 4, 3, 2, 1, 0] and features["found_again"].tolist() == [0, 0, 1, 1, 1, 1]
    assert features["dropped_by"].tolist() == ["position", "loudness", "", "silence", "", "never fires"]
    assert features["kept"].tolist() == [False, False, True, False, True, False]
    assert float(features.loc[2, "R"]) == pytest.approx(2 / 3) and float(features.loc[2, "R_q"]) < 0.01


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
    "evaluation.seeds=-1": "evaluation.seeds=-1: expected 0 or more",
    "evaluation.draws=5": "evaluation.draws=5: expected 20 or more, or 0",
    "evaluation.poolings=[mean,max]": "evaluation.poolings=max: expected some of mean, peak, share, spread, onsets",
    "evaluation.poolings=[peak]": "evaluation.poolings: mean has to be among them",
    "evaluation.filter.fires=twice": "evaluation.filter.fires=twice: expected one of fires_at_all, fires_in_5_percent",
    "evaluation.filter.least=0.5": "evaluation.filter.least=0.5 and most=0.25: expected",
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
    SaeTask().export(run, answers_of(plan), pd.DataFrame(), "abc", tmp_path)
    found = pd.read_csv(tmp_path / "hook.csv")
    assert list(found["hook"]) == ["blocks.11.hook_resid_post", "blocks.10.hook_resid_post"]
    (line,) = [record.message for record in caplog.records if "unexplained" in record.message]
    assert "written for hook_layers.11" in line and "say sae.hook=blocks.10.hook_resid_post" in line
    silent = compose_run(*RUN, "layer=11", f"sae.path={folder}", "sae.check_hook=false", "model.layers=12")
    assert not any(isinstance(one, AtNeighbours) for one in SaeTask().plan(silent))


def test_a_line_in_the_terminal_and_a_figure_for_each_size(tmp_path: Path) -> None:
    _, one = scored()
    table = pd.concat([one.assign(layer=layer) for layer in ("0", "2")])
    summary = tables.summarise(table, 50, 0.95, 0)
    console = Console(width=100, file=StringIO())
    console.print(terminal_table(summary, 100))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    for layer in (0, 2):
        (line,) = [line for line in text.splitlines() if f"resid {layer}," in line and "0.19" in line]
        assert line.split()[-6:] == ["0.19", "0.50", "2.00", "0.17", "0.90", "0.50"]
    names = {path.name for path in draw_all(summary, tmp_path)}
    drawn = {"sae_tiny", *(f"sae_{what}_tiny_layer-{layer}" for what in ("concepts", "features") for layer in (0, 2))}
    assert names == {f"{name}.{ending}" for name in drawn for ending in ("png", "svg")}
    (above,) = {line.split()[3] for line in text.splitlines() if line.startswith("R above null")}
    assert above == "0.20", "one of the five that fire"
