"""From a published checkpoint to a model: what audiocraft's own loader makes, in every variant."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.config.schema import Dtype, ModelConfig
from mech_music.models.hooks import STREAM_POINTS, Hook, all_hooks
from mech_music.models.musicgen import build
from mech_music.models.musicgen.footprint import PUBLISHED, Footprint
from mech_music.models.musicgen.loading import Checkpoint, load_model, pick_device
from mech_music.models.musicgen.model import HookedMusicGen
from tests.loading.conftest import complaint
from tests.published import Size, make_published, published_config

with quiet_imports():
    from audiocraft.models.encodec import InterleaveStereoCompressionModel
    from audiocraft.models.musicgen import MusicGen

PROMPTS = ["Compose a happy rock piece.", "Compose a groovy jazz piece."]
CONFIG = ModelConfig(name="made", layers=2, frame_rate=50)


def theirs(folder: Path) -> MusicGen:
    """audiocraft's own loader, with the cache that the tests made."""
    with quiet_imports():
        return MusicGen.get_pretrained(str(folder), device="cpu")


def same(ours: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine, its = ours.state_dict(), other.state_dict()
    return mine.keys() == its.keys() and all(
        torch.equal(mine[name], its[name]) and mine[name].dtype == its[name].dtype for name in mine
    )


@pytest.mark.parametrize("stereo", [False, True])
def test_is_what_audiocraft_loads(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stereo: bool) -> None:
    """Bit for bit: weights of the language model, the text encoder and the codec, conditions, and sound."""
    monkeypatch.setenv("HF_HUB_CACHE", str(offline))
    folder = make_published(tmp_path / "made", stereo=stereo)
    ours, plain = load_model(path=str(folder), device="cpu"), theirs(folder)
    assert same(ours.musicgen.lm, plain.lm)
    assert same(ours.musicgen.compression_model, plain.compression_model)
    name = "description"
    attributes, _ = plain._prepare_tokens_and_attributes(PROMPTS, None)
    provider = plain.lm.condition_provider
    with torch.no_grad():
        their_text, _ = provider(provider.tokenize(attributes))[name]
    assert torch.equal(ours.conditions(PROMPTS)[name][0][:2], their_text)
    tokens = torch.arange(2 * ours.musicgen.lm.n_q * 5).reshape(2, -1, 5) % ours.musicgen.lm.card
    with torch.no_grad():
        their_sound: Any = plain.compression_model.decode(tokens, None)
    assert torch.equal(ours.to_audio(tokens), their_sound.mean(dim=1))


def test_stereo_has_two_codebooks_a_step(offline: Path, tmp_path: Path) -> None:
    """Eight codebooks whose halves share a delay: three steps more than frames; left and right are both heard."""
    model = load_model(path=str(make_published(tmp_path / "made", stereo=True)), device="cpu")
    assert isinstance(model.musicgen.compression_model, InterleaveStereoCompressionModel)
    assert (model.musicgen.lm.n_q, model.n_frames(1.0), model.n_steps(1.0)) == (8, 50, 53)
    tokens = model.generate(PROMPTS, duration=0.2)
    assert tokens.shape == (2, 8, 10)
    left_only = tokens.clone()
    left_only[:, 1::2] = 0
    assert model.to_audio(tokens).shape == (2, 10 * 640)
    assert not torch.equal(model.to_audio(tokens), model.to_audio(left_only))


def test_bundled_and_made_models_are_what_audiocraft_loads(checkpoint: Path, made: HookedMusicGen) -> None:
    """Checkpoints with their own text encoder and codec, in float32."""
    model = load_model(path=str(checkpoint), device="cpu")
    assert (model.n_layers, model.d_model, model.frame_rate, model.n_steps(1.0)) == (3, 32, 25, 25 + 3)
    assert same(model.musicgen.lm, made.musicgen.lm)
    assert same(model.musicgen.compression_model, made.musicgen.compression_model)
    assert torch.equal(model.generate(["Play."] * 2, duration=0.4), made.generate(["Play."] * 2, duration=0.4))


def test_number_formats(offline: Path, published: Path) -> None:
    """bfloat16: all of the language model. float16, as on a GPU: all but embeddings and heads; codec and T5 float32."""
    half = load_model(path=str(published), device="cpu", dtype="bfloat16")
    assert {value.dtype for value in half.musicgen.lm.state_dict().values()} == {torch.bfloat16}
    assert half.generate(PROMPTS, duration=0.1).shape == (2, 4, 5)
    # A GPU's arrangement, run on the CPU: autocast has float16 there as well, but for norms (float32 on a GPU).
    musicgen = build.build(published, torch.device("cpu"), "float16")
    for norm in [module for module in musicgen.lm.transformer.modules() if isinstance(module, torch.nn.LayerNorm)]:
        assert norm.weight.dtype is torch.float16
        norm.float()
    gpus = HookedMusicGen(musicgen)
    assert gpus.dtype is torch.float16
    assert gpus.musicgen.lm.emb[0].weight.dtype is gpus.musicgen.lm.linears[0].weight.dtype is torch.float32
    assert gpus.generate(PROMPTS, duration=0.1).shape == (2, 4, 5)
    for model in (half, gpus):
        assert next(model.musicgen.compression_model.parameters()).dtype is torch.float32
        conditioner: Any = model.musicgen.lm.condition_provider.conditioners["description"]
        assert next(conditioner.t5.parameters()).dtype is torch.float32


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_every_hook_and_weight(name: str) -> None:
    """On the meta device: modules, hooks and parameters of each published size, without memory."""
    shape = PUBLISHED[name]
    size = Size(shape.d_model, shape.layers, shape.d_model // 64, 2048)
    config = OmegaConf.create(published_config(size, name.startswith("stereo"), "melody" in name))
    lm: Any = build.outline(config)
    assert all(parameter.is_meta for parameter in lm.parameters())
    own = sum(parameter.numel() for parameter in lm.parameters())
    conditions = (768 + 1) + (12 + 1) * bool(shape.melody)
    assert own + conditions * shape.d_model == shape.parameters
    assert Footprint.of_config(config) == shape
    assert len(all_hooks(shape.layers, STREAM_POINTS)) == 7 * shape.layers
    for layer in lm.transformer.layers:
        assert layer.self_attn.embed_dim == layer.linear2.out_features == shape.d_model
        assert layer.norm2.normalized_shape == (shape.d_model,)
    keys = {key.split(".", 3)[-1] for key in lm.state_dict() if key.startswith("transformer.layers.")}
    cross = {
        "cross_attention.in_proj_weight", "cross_attention.out_proj.weight", "norm_cross.weight", "norm_cross.bias"
    }  # fmt: skip
    assert keys - cross == {
        "self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight",
        "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias",
    }  # fmt: skip
    assert keys & cross == (set() if shape.melody else cross)


def test_parameters_are_those_published() -> None:
    """Twice that is what the files on the hub take, in float16: 0.84, 3.68 and 6.51 GB."""
    counts = [PUBLISHED[name].parameters for name in ("small", "medium", "large")]
    assert counts == [420_371_456, 1_838_737_920, 3_256_956_928]


# -- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "value"), [("layers", 24), ("codebooks", 8), ("delay", 7), ("cross_attention", False)])
def test_config_of_another_model_is_seen_before_loading(offline: Path, published: Path, key: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"model\.{key}={json.dumps(value)}, but .* set model\.{key}=") as caught:
        Checkpoint(replace(CONFIG, path=str(published), **{key: value}), "cpu")
    assert str(published) in complaint(caught)


@pytest.mark.parametrize("source", ["published", "checkpoint"])
def test_frame_rate_of_another_codec_is_seen_before_loading(
    offline: Path, source: str, request: pytest.FixtureRequest
) -> None:
    """Of a codec on the hub, and of one in the checkpoint's own folder; with the right one, loading agrees."""
    folder = request.getfixturevalue(source)
    layers, right, wrong = (2, 50, 25) if source == "published" else (3, 25, 50)
    config = replace(CONFIG, path=str(folder), layers=layers, frame_rate=wrong)
    with pytest.raises(UserError, match=rf"model\.frame_rate={wrong}, but .* set model\.frame_rate={right}"):
        Checkpoint(config, "cpu")
    assert Checkpoint(replace(config, frame_rate=right), "cpu").model.frame_rate == right


def test_too_little_memory_is_said_before_loading(
    offline: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "free_on", lambda device: 1000)
    with pytest.raises(UserError) as caught:
        load_model(path=str(published), device="cpu")
    assert all(word in complaint(caught) for word in (str(published), "float32", "smaller model"))


def test_running_out_of_memory_while_loading_is_one_line(
    offline: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore lines.")

    monkeypatch.setattr(build, "fill", exhausted)
    with pytest.raises(UserError, match="do not fit in the memory of cpu") as caught:
        load_model(path=str(published), device="cpu")
    complaint(caught)


@pytest.mark.parametrize(
    ("device", "said"), [("cuda:99", "not there"), ("tpu", "unknown device"), ("mps", "not there")]
)
def test_device_that_is_not_there_is_one_line(device: str, said: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("a Mac")
    with pytest.raises(UserError) as caught:
        pick_device(device)
    assert said in complaint(caught) and "cpu" in str(caught.value)


def test_dtype_that_the_cpu_does_not_serve_is_one_line(checkpoint: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_model(path=str(checkpoint), device="cpu", dtype="float16")
    assert "bfloat16" in complaint(caught)
    with pytest.raises(UserError, match="bfloat16"):
        Checkpoint(replace(CONFIG, path=str(checkpoint), dtype=Dtype.float16), "cpu")


@pytest.mark.parametrize("damage", ["t5 config", "t5 weights", "codec weights"])
def test_damaged_parts_in_the_cache_are_named(
    offline: Path, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Files cut short by a full disk, say."""
    hub = shutil.copytree(offline, tmp_path / "hub", symlinks=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    part, kind = damage.split()
    (snapshot,) = hub.glob("models--t5-base/snapshots/*" if part == "t5" else "models--facebook--*/snapshots/*")
    file = snapshot / ("config.json" if kind == "config" else "model.safetensors")
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError) as caught:
        load_model(path=str(published), device="cpu")
    assert str(snapshot) in complaint(caught) and "fetch it again" in str(caught.value)


@pytest.mark.parametrize("name", ["blocks.0.hook_mlp", "mlp_out", "blocks.-1.hook_mlp_out", ""])
def test_unknown_hook_name_is_one_line(name: str) -> None:
    with pytest.raises(UserError) as caught:
        Hook.parse(name)
    assert "mlp_out" in complaint(caught)


def test_hook_beyond_the_model_and_read_only_hooks_are_refused(made: HookedMusicGen) -> None:
    with pytest.raises(UserError, match="layers 0 to 2"):
        made.run_with_cache(["Play."], "blocks.3.hook_mlp_out")
    with pytest.raises(UserError, match="read-only"):
        made.run_with_hooks(["Play."] * 2, [("blocks.0.hook_resid_mid", lambda value, hook: value)], duration=0.2)
