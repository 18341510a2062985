"""What a config means, and every mistake in it, in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from omegaconf import MISSING

from mech_music.base.errors import UserError
from mech_music.cli.explain import explain
from mech_music.cli.validation import validate
from mech_music.config.paths import conf_dir, options
from mech_music.config.schema import Direction, RunConfig, folder_name, keys, load_technique
from mech_music.edits.row import Half
from mech_music.metrics.measures import EFFECTIVENESS, PRECISION
from mech_music.models.hooks import Component
from mech_music.tasks import registry
from mech_music.tasks.registry import all_axes, axes_of, find_task, task_names, unknown_key
from tests.composing import CommandLine, compose_run


def test_defaults_are_the_papers() -> None:
    run = compose_run()
    assert (run.prompts, run.duration, run.layer, run.pair) == (40, 4.0, "all", "guitar-piano")
    assert compose_run("model=small").prompts == 100
    assert compose_run("prompts=7").prompts == 7
    assert (run.sampling.top_k, run.sampling.temperature, run.sampling.guidance) == (250, 1.0, 3.0)
    assert (run.component, run.half, run.technique.name) == (Component.mlp, Half.both, "replace")
    assert run.controls == ["self", "other", "random", "noise"]
    validate(run)


@pytest.mark.parametrize("task", task_names())
def test_written_defaults_equal_the_schemas(task: str) -> None:
    """conf/ repeats the defaults to be read; they must not drift apart."""
    run = compose_run(f"task={task}", "model=small")  # the bundled model has its own number of prompts
    assert type(run) is find_task(task).settings
    for item in dataclasses.fields(run):
        if item.default is not dataclasses.MISSING and item.default != MISSING:
            assert getattr(run, item.name) == item.default, item.name
        elif item.default_factory is not dataclasses.MISSING:
            assert getattr(run, item.name) == item.default_factory(), item.name


def test_help_explains_every_key() -> None:
    text = (conf_dir() / "hydra" / "help" / "mech_music.yaml").read_text()
    assert [key for key in [*keys(RunConfig), *all_axes()] if f"\n    {key} " not in text] == []
    for group in ("technique", "model", "classifier", "task", "logger", "control"):
        assert [name for name in options(group) if name not in text] == []
    for measure in (EFFECTIVENESS, PRECISION):
        assert f"{measure.name} ({measure.also}" in text, "the words that people search for"


def test_a_published_model_brings_its_listener() -> None:
    assert compose_run("model=medium").classifier.name == "passt"
    assert compose_run("model=medium", "classifier=tiny").classifier.name == "tiny"


def test_techniques_are_affine_maps_in_yaml() -> None:
    adjust = load_technique("adjust")
    assert (adjust.scale, adjust.shift, adjust.direction) == (1.0, {"desired": 1.0, "original": -1.0}, Direction.mean)
    assert (load_technique("ablate").scale, load_technique("ablate").shift) == (0.0, {})
    assert load_technique("steer", strength=2.5).shift == {"desired": 2.5, "original": -2.5}
    assert load_technique("scale", strength=0.5).scale == 0.5
    assert load_technique("random").direction is Direction.random
    assert load_technique("self").shift == {"original": 1.0}
    assert compose_run("technique=steer", "strength=3").technique.shift == {"desired": 3.0, "original": -3.0}
    for name in options("technique"):
        assert load_technique(name).name == name


BAD_WORDS = {
    "model=tny": ["unknown model 'tny'", "did you mean tiny?", "small"],
    "technique=replce": ["unknown technique 'replce'", "did you mean replace?", "steer"],
    "component=mpl": ["unknown component 'mpl'", "did you mean mlp?", "sa, ca, mlp, resid"],
    "half=con": ["unknown half 'con'", "did you mean cond?", "uncond"],
    "logger.mode=offlin": ["unknown logger.mode 'offlin'", "did you mean offline?", "disabled"],
    "experiment=velez2024/fig44": ["unknown experiment", "did you mean velez2024/fig4?"],
    "hydra/launcher=paked": ["unknown hydra/launcher", "did you mean packed?", "basic"],
    "componet=mlp": ["unknown key 'componet'", "did you mean component?"],
    "sampling.topk=3": ["unknown key in sampling 'topk'", "did you mean top_k?", "guidance"],
    "prompts=many": ["prompts=many", "a whole number"],
    "prompts=null": ["prompts", "null"],
    "duration=long": ["duration=long", "a number"],
    "engine=3": ["engine", "engine.device"],
    "controls=self": ["controls is a list", "brackets"],
    "component=mlp,sa": ["component=mlp,sa", "-m"],
    "layer=a{": ["cannot read", "quote"],
    "layer": ["key=value"],
}


@pytest.mark.parametrize("override", BAD_WORDS)
def test_a_word_that_cannot_be_composed(override: str) -> None:
    with pytest.raises(Exception) as caught:
        compose_run(override)
    line = explain(caught.value)
    assert "\n" not in line
    assert [part for part in BAD_WORDS[override] if part not in line] == [], line


FOREIGN = [
    (task, axis)
    for task in task_names()
    for axis in all_axes()
    if axis not in axes_of(task) and axis not in ("component", "layer")
]


@pytest.mark.parametrize(("task", "axis"), FOREIGN)
def test_an_axis_of_another_task_is_refused(
    task: str, axis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, for every task and every axis that it does not have; and its config has no such key."""
    value = {"technique": "adjust", "lens": "tuned", "pair": "jazz-rock", "controls": "[self]"}.get(axis, "cond")
    assert CommandLine(tmp_path, monkeypatch)(f"task={task}", f"{axis}={value}") == 1
    line = capsys.readouterr().err
    assert line.startswith(f"mech_music: {axis} means nothing to task={task}; it belongs to ") and line.count("\n") == 1
    assert line.endswith(f"Axes of {task}: {', '.join(axes_of(task))}\n")
    assert not hasattr(compose_run(f"task={task}"), axis)


def test_every_task_has_axes_that_another_has_not() -> None:
    assert {task for task, _ in FOREIGN} == {*task_names()}
    assert {"pair", "technique", "lens", "concept", "reading", "half"} <= {axis for _, axis in FOREIGN}


@pytest.mark.parametrize(
    ("words", "task"),
    [
        (("experiment=velez2024/fig2", "technique=adjust"), "decoder_lens"),
        (("technique.scale=3", "task=self_similarity"), "self_similarity"),
        (("+technique=adjust", "task=self_similarity"), "self_similarity"),
        (("-m", "task=interchange,tuned_lens", "technique=adjust,replace", "prompts=2", "layer=2"), "tuned_lens"),
        (("-m", "hydra/launcher=basic", "task=interchange,tuned_lens", "technique=adjust,replace"), "tuned_lens"),
    ],
)
def test_wherever_the_task_is_chosen(
    words: tuple[str, ...],
    task: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert CommandLine(tmp_path, monkeypatch)(*words) == 1
    assert unknown_key("technique", task) in capsys.readouterr().err


BAD_VALUES = {
    "pair=guitar-pino": ["'guitar-pino'", "guitar-piano", "within"],
    "pair=guitar-guitar": ["guitar-guitar"],
    "pair=kazoo-piano": ["kazoo", "violin"],
    "layer=8": ["layer 8", "8 layers", "0 to 7"],
    "layer=frist": ["'frist'", "together"],
    "frames=5:5": ["empty"],
    "frames=0:999": ["ends after the clip"],
    "strength=nan": ["strength=nan", "finite"],
    "strength=inf": ["strength=inf", "finite"],
    "prompts=1": ["prompts=1", "at least 2"],
    "prompts=126": ["126", "1 to 125"],
    "controls=[slef]": ["'slef'", "did you mean self?", "noise"],
    "metrics=[loudness]": ["unknown metric 'loudness'"],
    "duration=0": ["duration=0", "above 0"],
    "duration=0.01": ["shorter than one codec frame"],
    "sampling.top_k=-1": ["sampling.top_k=-1"],
    "sampling.temperature=0": ["sampling.temperature=0"],
    "sampling.guidance=nan": ["sampling.guidance=nan"],
    "+technique.shift.banjo=1": ["'banjo'", "original, desired"],
    "technique.scale=inf": ["technique.scale=inf"],
    "technique.shift.desired=nan": ["technique.shift.desired=nan"],
    "statistics.level=1": ["statistics.level=1"],
    "statistics.resamples=0": ["statistics.resamples=0"],
    "audio.strongest=-1": ["audio.strongest=-1"],
    "audio.median=-1": ["audio.median=-1"],
    "engine.pack=-1": ["engine.pack=-1"],
    "+laier=3": ["unknown key 'laier'", "did you mean layer?"],
}


@pytest.mark.parametrize("override", BAD_VALUES)
def test_a_value_that_makes_no_sense(override: str) -> None:
    with pytest.raises(UserError) as caught:
        validate(compose_run(override))
    line = explain(caught.value)
    assert "\n" not in line
    assert [part for part in BAD_VALUES[override] if part not in line] == [], line


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (OSError(28, "No space left on device", "/data/x"), "the disk is full (/data/x)"),
        (PermissionError(13, "Permission denied", "/some/x"), "cannot use /some/x: Permission denied"),
        (RuntimeError("two\nlines"), "RuntimeError: two lines"),
    ],
)
def test_system_errors_in_one_line(error: Exception, part: str) -> None:
    assert part in explain(error)


def test_folder_names_fit_any_file_system() -> None:
    assert folder_name("component=mlp,pair=guitar-piano") == "component=mlp,pair=guitar-piano"
    assert folder_name("layer='0,5',model.path=/a b/c") == "layer=_0,5_,model.path=_a_b_c"
    assert len(folder_name("x" * 300)) == 100


def test_a_config_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """It is kept while it is the same: a sweep's every job asks for it."""
    (path := tmp_path / "mine.yaml").write_text("words: 1\n")
    assert registry._written(path) == {"words": 1} and registry._written(path) is registry._written(path)
    path.write_text("words: 22\n")
    assert registry._written(path) == {"words": 22}
