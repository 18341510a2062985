"""A lens as two files: read as it was written, used as it was trained, and refused in one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mech_music.base.errors import UserError
from mech_music.edits.row import Exit, Fit, LensFile, Reading, Row, Translator
from mech_music.lenses.files import CONFIG, WEIGHTS, find_lens, read_lens, write_lens
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.prompts.declared import load_prompt_set
from tests.conftest import PROMPTS
from tests.made_engine import FIT, engine

HOOKS = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_mid")


@pytest.fixture
def lens(tmp_path: Path) -> LensFile:
    draw = np.random.default_rng(0)
    maps = {hook: tuple(draw.normal(size=shape).astype(np.float32) for shape in ((8, 8), 8)) for hook in HOOKS}
    write_lens(maps, Fit(load_prompt_set().every_prompt, 4, 2, 0, 1, 0), "tiny", "a" * 64, tmp_path / "lens")  # type: ignore[arg-type]
    return find_lens(str(tmp_path / "lens"))


def test_a_lens_is_read_as_it_was_written(lens: LensFile) -> None:
    maps = read_lens(lens, "a" * 64)
    draw = np.random.default_rng(0)
    for hook in HOOKS:
        assert np.array_equal(maps[hook].weight.numpy(), draw.normal(size=(8, 8)).astype(np.float32))
        assert np.array_equal(maps[hook].bias.numpy(), draw.normal(size=8).astype(np.float32))
    assert tuple(maps) == HOOKS
    about = json.loads((Path(lens.path) / CONFIG).read_text())
    trained = {"n_clips": 4, "n_held_out": 2, "steps": 0, "epochs": 1, "seed": 0}
    assert about["fit"] == {**trained, "prompts": load_prompt_set().every_prompt.digest}


def test_a_lens_is_named_by_its_content(lens: LensFile, tmp_path: Path) -> None:
    shutil.copytree(lens.path, tmp_path / "copy")
    copy = find_lens(str(tmp_path / "copy"))
    assert copy == lens and copy.path != lens.path
    rows = [Row("Play.", 0, (), Exit(HOOKS[0], lens=place)) for place in (lens, copy)]
    assert rows[0].key("") == rows[1].key("")
    weights = tmp_path / "copy" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert find_lens(str(tmp_path / "copy")) != lens


def test_another_models_lens_is_refused_by_both_names(lens: LensFile) -> None:
    line = r"^the lens in '.*lens' was trained on another model \('tiny', weights aaaaaaaaaaaa…, not bbbbbbbbbbbb…\): "
    with pytest.raises(UserError, match=line + r"train one .* with task=tuned_lens$"):
        read_lens(lens, "b" * 64)


def test_no_lens_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no lens in '.*none' \(lens.safetensors: No such file or directory\): give"):
        find_lens(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (WEIGHTS, b""),
        (WEIGHTS, b"\xff" * 100),
        (CONFIG, b"{"),
        (CONFIG, b"[]"),
        (CONFIG, b"{}"),
        (CONFIG, b'{"hooks": ["blocks.5.hook_resid_post"], "weights": "a", "model": "tiny"}'),
        (CONFIG, b'{"hooks": []}'),
        (CONFIG, b"\xff\xfe"),
    ],
)
def test_a_damaged_lens_is_one_line(lens: LensFile, name: str, content: bytes) -> None:
    (Path(lens.path) / name).write_bytes(content)
    with pytest.raises(UserError, match=r"^the lens in '.*' cannot be read \(\w+: .+\): train it again") as caught:
        read_lens(lens, "a" * 64)
    assert "\n" not in str(caught.value)


def test_a_lens_from_a_file_reads_what_the_trained_one_reads(made: HookedMusicGen, tmp_path: Path) -> None:
    own = engine(made, tmp_path / "store")
    found = {hook: own.answers([source]).records[source] for hook in HOOKS for source in [Translator(hook, FIT)]}
    maps = {hook: (record["weight"], record["bias"]) for hook, record in found.items()}
    write_lens(maps, FIT, "made", "made", tmp_path / "lens")
    file = find_lens(str(tmp_path / "lens"))
    rows = [Row(prompt, 0, (), Exit(hook, how)) for prompt in PROMPTS for hook in HOOKS for how in Reading]
    outcomes = []
    for lens in (None, FIT, file):
        asked = [replace(row, exit=replace(row.exit, lens=lens)) for row in rows if row.exit]
        # The file's rows in a store of their own: nothing but the file is there to read from.
        answers = engine(made, tmp_path / ("other" if lens is file else "store")).outcomes(asked)
        outcomes.append([answers[row] for row in asked])
    plain, trained, read = outcomes
    for a, b in zip(trained, read, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.logits, b.logits)
        assert a.key != b.key
    assert sum(not np.array_equal(a.tokens, b.tokens) for a, b in zip(plain, trained, strict=True)) > len(rows) / 2
    unknown = Row("Play.", 0, (), Exit("blocks.1.hook_resid_post", lens=file))
    line = f"not trained for blocks.1.hook_resid_post: it has {', '.join(HOOKS)}$"
    with pytest.raises(UserError, match=line):
        own.outcomes([unknown])
