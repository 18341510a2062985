"""Melody, given text alone: its conditions stand before the music, and there is no cross-attention."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.edits.row import Exit, Reading, Row
from mech_music.engine.passes import PassRunner, Settings
from mech_music.models.hooks import IN_ATTENTION
from mech_music.models.musicgen.footprint import Footprint
from mech_music.models.musicgen.loading import FILES, load_model
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling
from mech_music.store import Store
from tests.composing import CommandLine
from tests.lenses.test_readout import silence
from tests.loading.conftest import complaint
from tests.loading.test_command import SHORT
from tests.made_engine import MadeSource
from tests.published import make_published
from tests.test_parity import DURATION, TOP_K, plain_generate

with quiet_imports():
    import demucs.pretrained
    from audiocraft.models.musicgen import MusicGen

PROMPTS = ["Compose a groovy jazz piece.", "Compose a happy jazz piece."]  # of one length
MELODY = 235  # chroma frames of 30 s
SETTINGS: dict[str, Any] = {"duration": DURATION, "sampling": Sampling(top_k=TOP_K)}
POINTS = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small melody as published."""
    return make_published(tmp_path_factory.mktemp("published") / "musicgen-melody", melody=True)


@pytest.fixture
def melody(offline: Path, folder: Path) -> HookedMusicGen:
    return load_model(path=str(folder), device="cpu")


@pytest.fixture
def theirs(offline: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> MusicGen:
    """audiocraft's own, whose Demucs (a download) has nothing to separate: no melody is given."""

    class NoSeparation(SimpleNamespace):
        def to(self, _device: object) -> NoSeparation:
            return self

    separation = NoSeparation(sources=["drums", "bass", "other", "vocals"])
    monkeypatch.setattr(demucs.pretrained, "get_model", lambda _name: separation)
    monkeypatch.setenv("HF_HUB_CACHE", str(offline))
    with quiet_imports():
        return MusicGen.get_pretrained(str(folder), device="cpu")


def rewritten(folder: Path, to: Path, **changes: object) -> str:
    """The checkpoint with other values in its config."""
    to.mkdir()
    content = torch.load(folder / FILES[0])
    config = OmegaConf.create(content["xp.cfg"])
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value, merge=False)
    torch.save(content | {"xp.cfg": OmegaConf.to_yaml(config)}, to / FILES[0])
    (to / FILES[1]).write_bytes((folder / FILES[1]).read_bytes())
    return str(to)


# -- against audiocraft ------------------------------------------------------------------------


def test_generates_what_audiocraft_does(
    melody: HookedMusicGen, theirs: MusicGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights, and the same tokens from its own loop with the same noise."""
    ours, other = melody.musicgen.lm.state_dict(), theirs.lm.state_dict()
    assert ours.keys() == other.keys() and all(torch.equal(ours[name], other[name]) for name in ours)
    assert torch.equal(melody.generate(PROMPTS, **SETTINGS), plain_generate(theirs, PROMPTS, monkeypatch))


@pytest.mark.parametrize("point", ["attn_out", "mlp_out"])
def test_edits_the_music_and_not_what_stands_before(
    melody: HookedMusicGen, theirs: MusicGen, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """A raw hook that leaves all positions but the last one alone gives the same tokens."""
    shift = torch.linspace(-3, 3, melody.d_model)
    ours = melody.run_with_hooks(PROMPTS, [(f"blocks.1.hook_{point}", lambda value, hook: value + shift)], **SETTINGS)
    layer: Any = theirs.lm.transformer.layers[1]
    module = {"attn_out": layer.self_attn, "mlp_out": layer.linear2}[point]
    lengths = []

    def raw(_module: torch.nn.Module, _inputs: object, output: Any) -> object:
        value: Tensor = (output[0] if isinstance(output, tuple) else output).clone()
        lengths.append(value.shape[1])
        value[:, -1] += shift
        return (value, None) if isinstance(output, tuple) else value

    handle = module.register_forward_hook(raw)
    try:
        assert torch.equal(ours, plain_generate(theirs, PROMPTS, monkeypatch))
    finally:
        handle.remove()
    assert lengths[:2] == [MELODY + melody.prompt_length(PROMPTS[0]) + 1, 1]
    assert not torch.equal(ours, melody.generate(PROMPTS, **SETTINGS))


@pytest.mark.parametrize("reading", list(Reading))
def test_lens_at_the_end_is_the_model(melody: HookedMusicGen, tmp_path: Path, reading: Reading) -> None:
    rows = [Row(prompt, 0, exit=Exit("blocks.1.hook_resid_post", reading)) for prompt in PROMPTS]
    passes = PassRunner(MadeSource(melody), Store(tmp_path), Settings(**SETTINGS))
    assert torch.equal(passes.tokens(rows), melody.generate(PROMPTS, **SETTINGS))


def test_lens_is_audiocrafts_model_cut_off(
    melody: HookedMusicGen, theirs: MusicGen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free-running, after self-attention of the first layer: the model ends there, and its MLP adds nothing."""
    rows = [Row(prompt, 0, exit=Exit("blocks.0.hook_resid_mid", Reading.free)) for prompt in PROMPTS]
    ours = PassRunner(MadeSource(melody), Store(tmp_path), Settings(**SETTINGS)).tokens(rows)
    transformer: Any = theirs.lm.transformer
    transformer.layers = transformer.layers[:1]
    transformer.layers[0].linear2.register_forward_hook(silence)
    assert torch.equal(ours, plain_generate(theirs, PROMPTS, monkeypatch))
    assert not torch.equal(ours, melody.generate(PROMPTS, **SETTINGS))


# -- hooks, packing, memory --------------------------------------------------------------------


def test_hooks(melody: HookedMusicGen) -> None:
    """Every step has one value at each point, and the stream adds up without cross-attention."""
    streams = [name for name, hook in melody.hook_dict.items() if hook.point in POINTS]
    assert streams == [f"blocks.{layer}.hook_{point}" for layer in range(2) for point in POINTS]
    assert melody.points == ("resid_pre", *(f"attn.{name}" for name in IN_ATTENTION), *POINTS[1:])
    _, cache = melody.run_with_cache(PROMPTS, duration=0.2)
    at = {point: cache[f"blocks.1.hook_{point}"] for point in POINTS}
    assert {value.shape for value in at.values()} == {(2, 2, melody.n_steps(0.2), melody.d_model)}
    assert torch.allclose(at["resid_pre"] + at["attn_out"], at["resid_mid"], atol=1e-5)
    assert torch.allclose(at["resid_mid"] + at["mlp_out"], at["resid_post"], atol=1e-5)
    with pytest.raises(UserError, match="no cross-attention; its points are resid_pre, attn.q, .*resid_mid, mlp_out"):
        melody.select_hooks("blocks.0.hook_cross_attn_out")


def test_text_is_heard(melody: HookedMusicGen) -> None:
    """In the conditional half only: the other has the same positions without words."""
    _, cache = melody.run_with_cache(PROMPTS, "blocks.1.hook_resid_post", duration=0.1)
    cond, uncond = cache["blocks.1.hook_resid_post"][:, :, 0]
    assert not torch.equal(cond[0], cond[1])
    assert torch.equal(uncond[0], uncond[1])


def test_rows_do_not_know_their_neighbours(melody: HookedMusicGen) -> None:
    """Alone or packed; with edits in the pack as well."""
    prompts, seeds = [PROMPTS[0]] * 11, list(range(11))
    packed = melody.generate(prompts, seeds=seeds, **SETTINGS)
    for few in (4, 7):
        assert torch.equal(melody.generate(prompts[-few:], seeds=seeds[-few:], **SETTINGS), packed[-few:])

    def last_only(value: Tensor, _hook: object) -> Tensor:
        edited = value.clone()
        edited[:, -1] = 0
        return edited

    edited = melody.run_with_hooks(prompts, [("blocks.0.hook_mlp_out", last_only)], seeds=seeds, **SETTINGS)
    assert torch.equal(edited[:-1], packed[:-1]) and not torch.equal(edited[-1], packed[-1])


def test_memory_of_a_row(melody: HookedMusicGen) -> None:
    """The melody's positions are kept as well: counted in a real pass."""
    kept = []

    def count(step: int) -> None:
        state = melody.musicgen.lm.get_streaming_state()
        kept.append(sum(value.nbytes for key, value in state.items() if "buffer_" in key))

    melody.generate(PROMPTS, duration=0.4, on_step=count)
    config: Any = melody.musicgen.lm.cfg
    shape = Footprint.of_config(config)
    assert (shape.melody, melody.n_melody) == (MELODY, MELODY)
    steps, words = melody.n_steps(0.4), melody.prompt_length(PROMPTS[0])
    assert kept[-1] == kept[0] == 2 * shape.row_bytes(steps, "float32", words)
    assert melody.row_bytes(0.4) == shape.row_bytes(steps, "float32")
    assert shape.parameters == sum(value.numel() for value in melody.musicgen.lm.parameters())


def test_a_chroma_that_is_not_filled_up(offline: Path, folder: Path, tmp_path: Path) -> None:
    """Then audiocraft masks the five frames of the one window that there is."""
    short = {"conditioners__self_wav__chroma_stem__match_len_on_eval": False}
    model = load_model(path=rewritten(folder, tmp_path / "short", **short), device="cpu")
    before, mask = model.conditions(PROMPTS)["self_wav"]
    config: Any = model.musicgen.lm.cfg
    assert before.shape[1] == model.n_melody == Footprint.of_config(config).melody == 5
    assert not mask.any() and not before.any()


def test_bfloat16(offline: Path, folder: Path) -> None:
    """All of the language model but the chromagram, whose conditioner works in float32."""
    model = load_model(path=str(folder), device="cpu", dtype="bfloat16")
    lm: Any = model.musicgen.lm
    chroma = lm.condition_provider.conditioners["self_wav"].chroma
    assert {value.dtype for value in chroma.buffers()} == {torch.float32}
    assert {value.dtype for value in lm.parameters()} == {torch.bfloat16}
    assert (model.generate(PROMPTS, duration=0.1) >= 0).all()


# -- what is not served ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({"fuser__prepend": [], "fuser__cross": ["description"]}, "chroma_stem), fused as cross description:"),
        (
            {"fuser__prepend": ["description"], "fuser__cross": ["self_wav"]},
            "chroma_stem), fused as prepend description, cross self_wav:",
        ),
        ({"conditioners__self_wav__model": "style"}, "style), fused as prepend description and self_wav:"),
    ],
)
def test_other_conditions_are_refused(
    offline: Path, folder: Path, tmp_path: Path, changes: dict[str, Any], how: str
) -> None:
    with pytest.raises(UserError) as caught:
        load_model(path=rewritten(folder, tmp_path / "other", **changes), device="cpu")
    line = complaint(caught)
    assert f"is conditioned on description (t5), self_wav ({how} neither" in line
    assert "served are small, medium, large, melody" in line


# -- the command -------------------------------------------------------------------------------


def test_a_run(offline: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With concept means, edits and controls, at the residual stream and at self-attention."""
    words = (
        "model=melody",
        f"model.path={folder}",
        "classifier=tiny",
        "model.layers=2",
        "model.heads=2",
        "component=sa,resid",
    )
    command = CommandLine(tmp_path, monkeypatch, made_up=False, draws=False)
    monkeypatch.chdir(tmp_path)  # where the store is
    assert command("-m", *words, *SHORT) == 0
    table = pd.read_parquet(tmp_path / "sweep" / "table.parquet")
    assert set(table["component"]) == {"sa", "resid"} and set(table["model"]) == {"melody"}
    assert np.isfinite(table["effectiveness"]).all()


def test_components_without_a_hook_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert CommandLine(tmp_path, monkeypatch)("model=melody", "component=ca") == 1
    assert capsys.readouterr().err == (
        "mech_music: component=ca: model 'melody' has no cross-attention, its text stands before the music; "
        "allowed: sa, mlp, resid\n"
    )
