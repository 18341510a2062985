"""What decides an outcome is in its key, input by input: change it, and the stale answer is not served; change what
does not matter, and it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mech_music.edits.content import canonical
from mech_music.edits.patch import Patch
from mech_music.edits.row import (
    Edit,
    Exit,
    Fit,
    Half,
    History,
    LensFile,
    Mean,
    Prefix,
    Projection,
    Prompts,
    RandomDirection,
    Reading,
    Row,
    Term,
)
from mech_music.engine.engine import Engine
from mech_music.engine.passes import PassRunner, Settings
from mech_music.models.hooks import Hook
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling
from mech_music.store import Store
from tests.made_engine import MadeListener, MadeSource, engine

HOOK = "blocks.1.hook_mlp_out"
FIT = Fit(Prompts.of(["a", "b", "c"]), 4, 2, 0, 1, 0)
MEAN = Mean(Prompts.of(["about a violin", "about two violins"], "violin"), 5)
EDIT = Edit(HOOK, 0.0, (Term(1.0, MEAN),), (2, 9), Half.cond, (0, 1))
PATCH = Patch(HOOK, Row("other", 1))
ROW = Row("prompt", 7, (EDIT, PATCH), Exit(HOOK, Reading.forced, FIT), Prefix.of([[1, 2], [3, 4]]))


def edit(**changed: Any) -> Row:
    return replace(ROW, edits=(replace(EDIT, **changed), PATCH))


def mean(**changed: Any) -> Row:
    return edit(shift=(Term(1.0, replace(MEAN, **changed)),))


def leave(**changed: Any) -> Row:
    assert ROW.exit
    return replace(ROW, exit=replace(ROW.exit, **changed))


CHANGES: dict[str, Row] = {
    "prompt": replace(ROW, prompt="another"),
    "seed": replace(ROW, seed=8),
    "order of edits": replace(ROW, edits=(PATCH, EDIT)),
    "an edit less": replace(ROW, edits=(EDIT,)),
    "hook": edit(hook="blocks.2.hook_mlp_out"),
    "scale": edit(scale=0.5),
    "weight": edit(shift=(Term(2.0, MEAN),)),
    "frames": edit(frames=(2, 10)),
    "half": edit(half=Half.both),
    "a random direction": replace(ROW, edits=(RandomDirection(EDIT, 4), PATCH)),
    "another random direction": replace(ROW, edits=(RandomDirection(EDIT, 5), PATCH)),
    "the size of a random direction": replace(ROW, edits=(RandomDirection(replace(EDIT, scale=0.5), 4), PATCH)),
    "heads": edit(heads=(0,)),
    "a projection": replace(ROW, edits=(Projection(HOOK, 0.0, EDIT.shift, (2, 9), Half.cond, (0, 1)), PATCH)),
    "the direction of a projection": replace(ROW, edits=(Projection(HOOK, 0.0, (), (2, 9), Half.cond, (0, 1)), PATCH)),
    "the size of a random projection": replace(
        ROW, edits=(RandomDirection(Projection(HOOK, 0.0, EDIT.shift), 4), PATCH)
    ),
    "a mean of heads": mean(heads=True),
    "the text of a prompt behind a mean": mean(prompts=Prompts.of(["about a flute", "about two violins"], "violin")),
    "one prompt more behind a mean": mean(prompts=Prompts.of([*MEAN.prompts.texts, "more"], "violin")),
    "seed of a mean": mean(seed=6),
    "history": mean(history=History.shared),
    "row of a patch": replace(ROW, edits=(EDIT, replace(PATCH, row=Row("other", 2)))),
    "edit of a patch's row": replace(ROW, edits=(EDIT, replace(PATCH, row=Row("other", 1, (Edit(HOOK, 0.0),))))),
    "exit": replace(ROW, exit=None),
    "hook of the exit": leave(hook="blocks.0.hook_resid_post"),
    "reading": leave(reading=Reading.free),
    "lens": leave(lens=None),
    "prompts that a lens is trained on": leave(lens=replace(FIT, prompts=Prompts.of(["a", "b", "d"]))),
    "seed of a lens": leave(lens=replace(FIT, seed=1)),
    "content of a lens' file": leave(lens=LensFile("1" * 64, "somewhere")),
    "prefix": replace(ROW, prefix=Prefix.of([[1, 2], [3, 5]])),
    "no prefix": replace(ROW, prefix=None),
}
SAME: dict[str, Row] = {
    "name of the prompts": mean(prompts=replace(MEAN.prompts, name="fiddle")),
    "a copy": replace(ROW, edits=tuple(replace(one) for one in (EDIT, PATCH))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_decides_a_clip_is_in_its_key(change: str) -> None:
    assert CHANGES[change].key("") != ROW.key("")
    assert CHANGES[change] != ROW


def test_every_change_has_a_key_of_its_own() -> None:
    assert len({row.key("") for row in CHANGES.values()}) == len(CHANGES)


@pytest.mark.parametrize("change", SAME)
def test_what_does_not_matter_is_not(change: str) -> None:
    assert SAME[change].key("") == ROW.key("")


def test_where_a_lens_file_lies_decides_nothing() -> None:
    here, there = (leave(lens=LensFile("1" * 64, place)) for place in ("here", "there"))
    assert here.key("") == there.key("")


def test_every_field_of_an_edit_is_tried() -> None:
    """Else a new field could be left out of keys, and nobody would see."""
    tried = {"hook", "scale", "shift", "frames", "half", "heads"}
    assert {part.name for part in fields(Edit)} == tried


def test_an_optional_field_changes_nothing_where_it_is_not_used() -> None:
    """The canonical text names only what differs from its default, so that a field can be added later."""
    plain = canonical(Edit(HOOK, 0.0))
    assert plain == canonical(Edit(HOOK, 0.0, frames=None, half=Half.both, heads=None))
    assert "heads" not in plain and "frames" not in plain


SETTINGS = Settings(Sampling(top_k=20), duration=0.5)
CONTEXTS: dict[str, tuple[str, Settings]] = {
    "model": ("another", SETTINGS),
    "top_k": ("made", replace(SETTINGS, sampling=Sampling(top_k=21))),
    "temperature": ("made", replace(SETTINGS, sampling=Sampling(top_k=20, temperature=0.9))),
    "guidance": ("made", replace(SETTINGS, sampling=Sampling(top_k=20, guidance=2.0))),
    "duration": ("made", replace(SETTINGS, duration=0.6)),
}


def passes(folder: Path, model_id: str, settings: Settings) -> PassRunner:
    return PassRunner(MadeSource(None, model_id=model_id), Store(folder), settings)


@pytest.mark.parametrize("change", CONTEXTS)
def test_the_model_and_the_settings_are_in_every_key(tmp_path: Path, change: str) -> None:
    same, own, other = (passes(tmp_path, *how) for how in (("made", SETTINGS), ("made", SETTINGS), CONTEXTS[change]))
    assert own.key(ROW) == same.key(ROW) != other.key(ROW)
    assert own.recording.key(MEAN) == same.recording.key(MEAN) != other.recording.key(MEAN)


def test_the_code_s_version_is_in_every_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = passes(tmp_path, "made", SETTINGS).key(ROW)
    monkeypatch.setattr("mech_music.engine.passes._VERSION", 999)
    assert passes(tmp_path, "made", SETTINGS).key(ROW) != now


# -- with a model: is the stale answer served? -------------------------------------------------------


class Louder(MadeListener):
    """Another listener: what it reads is not the first one's."""

    id = "louder"

    def read(self, clips: Any) -> dict[str, np.ndarray]:
        return {name: values + 1 for name, values in super().read(clips).items()}


def counted(own: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every generation that the engine makes from now on."""
    made, generate = [], own.passes.generate

    def counting(rows: Any, *args: Any, **more: Any) -> Any:
        made.append(len(rows))
        return generate(rows, *args, **more)

    monkeypatch.setattr(own.passes, "generate", counting)
    return made


ROWS = [Row("Compose a happy rock piece.", seed) for seed in range(3)]


def test_a_second_listener_generates_nothing(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = engine(made, tmp_path)
    heard = first.answers(ROWS, ("classifier",))
    second = Engine(first.passes.source, Store(tmp_path), first.settings, {"classifier": Louder}, first.how, quiet=True)
    passes_made = counted(second, monkeypatch)
    louder = second.answers(ROWS, ("classifier",))
    assert passes_made == []
    for row in ROWS:
        np.testing.assert_array_equal(
            louder.reading(row, "classifier")["logits"], heard.reading(row, "classifier")["logits"] + 1
        )


def test_without_a_listener_none_is_made(made: HookedMusicGen, tmp_path: Path) -> None:
    def refuse() -> MadeListener:
        raise AssertionError("nobody asked for it")

    first = engine(made, tmp_path)
    own = Engine(first.passes.source, Store(tmp_path), first.settings, {"classifier": refuse}, first.how, quiet=True)
    answers = own.answers(ROWS)
    shape = 4, made.n_frames(first.settings.duration)
    assert all(answers.tokens(row).shape == shape and not answers.failed(row) for row in ROWS)


def test_a_mean_s_prompt_that_changes_is_not_served_stale(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engine(made, tmp_path)

    def replaced(text: str) -> Row:
        source = Mean(Prompts.of([text], "violin"))
        return replace(ROWS[0], edits=(Edit(Hook(1, "cross_attn_out").name, 0.0, (Term(1.0, source),)),))

    before, after = replaced("Compose a piece with a violin."), replaced("Compose a piece with a flute.")
    own.answers([before])
    passes_made = counted(own, monkeypatch)
    own.answers([before])
    assert passes_made == []
    own.answers([after])
    assert passes_made, "the mean and the clip of the new prompt"


@pytest.mark.parametrize("change", [lambda how: {**how, "pack": 8}, lambda how: {**how, "keep_audio": True}])
def test_how_clips_are_made_decides_nothing(
    made: HookedMusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict], dict]
) -> None:
    engine(made, tmp_path).answers(ROWS, ("classifier",))
    own = engine(made, tmp_path, **change({"pack": 128}))
    passes_made = counted(own, monkeypatch)
    own.answers(ROWS, ("classifier",))
    assert passes_made == []
