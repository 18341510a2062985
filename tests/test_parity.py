"""Ours against plain audiocraft: the same tokens, and the same effect as raw PyTorch hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mech_music.base.quiet import quiet_imports
from mech_music.models.musicgen.attention import attend
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import RowNoise, Sampling
from tests.conftest import PROMPTS

with quiet_imports():
    import audiocraft.utils.utils
    from audiocraft.models.musicgen import MusicGen

DURATION = 1.0
TOP_K = 20


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> MusicGen:
    """The same weights in audiocraft alone: no hooks, no kept caches."""
    with quiet_imports():
        return MusicGen.get_pretrained(str(checkpoint), device="cpu")


def plain_generate(musicgen: MusicGen, prompts: list[str], monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """audiocraft's own ``LMModel.generate``, with our rows' noise in its sampler."""
    lm = musicgen.lm
    noise, step = RowNoise(prompts, [0] * len(prompts), (lm.n_q, lm.card), torch.device("cpu")), iter(range(10**6))

    def race(probs: torch.Tensor, num_samples: int) -> torch.Tensor:
        assert num_samples == 1
        return torch.argmax(probs / noise(next(step)), dim=-1, keepdim=True)

    monkeypatch.setattr(audiocraft.utils.utils, "multinomial", race)
    attributes, _ = musicgen._prepare_tokens_and_attributes(prompts, None)
    n_frames = int(DURATION * musicgen.frame_rate)
    return lm.generate(None, attributes, max_gen_len=n_frames, top_k=TOP_K, cfg_coef=3.0)


def test_no_edit_equals_audiocraft_generate(
    made: HookedMusicGen, plain: MusicGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = made.generate(list(PROMPTS), duration=DURATION, sampling=Sampling(top_k=TOP_K))
    assert torch.equal(ours, plain_generate(plain, list(PROMPTS), monkeypatch))


@pytest.mark.parametrize("point", ["attn_out", "cross_attn_out", "mlp_out"])
def test_edit_equals_raw_hook(
    made: HookedMusicGen, plain: MusicGen, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The same shift through nnsight and through a raw PyTorch hook gives the same tokens."""
    shift = torch.linspace(-3, 3, made.d_model)
    settings = {"duration": DURATION, "sampling": Sampling(top_k=TOP_K)}
    hooks = [(f"blocks.1.hook_{point}", lambda value, hook: value + shift)]
    ours = made.run_with_hooks(list(PROMPTS), hooks, **settings)
    layer: Any = plain.lm.transformer.layers[1]
    module = {"attn_out": layer.self_attn, "cross_attn_out": layer.cross_attention, "mlp_out": layer.linear2}[point]

    def raw(_module: torch.nn.Module, _inputs: object, output: object) -> object:
        return (output[0] + shift, None) if isinstance(output, tuple) else output + shift  # type: ignore[operator]

    handle = module.register_forward_hook(raw)
    try:
        raw_tokens = plain_generate(plain, list(PROMPTS), monkeypatch)
    finally:
        handle.remove()
    assert torch.equal(ours, raw_tokens)
    assert not torch.equal(ours, made.generate(list(PROMPTS), **settings))


@pytest.mark.parametrize("attention", ["attn", "cross_attn"])
@pytest.mark.parametrize("name", ["q", "k", "v", "z"])
def test_a_scaled_head_equals_scaled_weights(
    made: HookedMusicGen, plain: MusicGen, monkeypatch: pytest.MonkeyPatch, attention: str, name: str
) -> None:
    """audiocraft alone, one head's rows of its projection doubled (for z, columns of the one that follows)."""
    settings = {"duration": DURATION, "sampling": Sampling(top_k=TOP_K)}
    factor = torch.tensor([1.0, 2.0])[:, None]
    hooks = [(f"blocks.1.{attention}.hook_{name}", lambda value, hook: value * factor)]
    ours = made.run_with_hooks(list(PROMPTS), hooks, **settings)
    layer: Any = plain.lm.transformer.layers[1]
    module = {"attn": layer.self_attn, "cross_attn": layer.cross_attention}[attention]
    half = made.d_model // 2
    with torch.no_grad():
        if name == "z":
            weight = module.out_proj.weight[:, half:]
        else:
            weight = module.in_proj_weight.unflatten(0, (3, -1))["qkv".index(name), half:]
        weight *= 2
        try:
            scaled = plain_generate(plain, list(PROMPTS), monkeypatch)
        finally:
            weight /= 2
    assert torch.equal(ours, scaled)
    assert not torch.equal(ours, made.generate(list(PROMPTS), **settings))


def test_looking_changes_nothing(made: HookedMusicGen) -> None:
    """Reading every hook, writing every value back and scaling by one leave the tokens as they are."""
    plain = made.generate(list(PROMPTS), duration=DURATION)
    read, _ = made.run_with_cache(list(PROMPTS), duration=DURATION)
    editable = [name for name in made.hook_names if not name.endswith(("mid", "mid_cross"))]
    written = made.run_with_hooks(list(PROMPTS), [(editable, lambda value, hook: value * 1.0)], duration=DURATION)
    assert torch.equal(plain, read)
    assert torch.equal(plain, written)


def test_rows_of_equal_length_do_not_know_their_neighbours(made: HookedMusicGen) -> None:
    together = made.generate(list(PROMPTS[:2]), duration=DURATION)
    alone = torch.cat([made.generate([prompt], duration=DURATION) for prompt in PROMPTS[:2]])
    assert torch.equal(together, alone)


def test_audiocraft_own_generation_goes_on_working(made: HookedMusicGen, plain: MusicGen) -> None:
    """A continuation feeds several steps at once before it goes step by step; both ways use the kept caches."""
    prompt = torch.randint(0, 64, (2, 4, 9), generator=torch.Generator().manual_seed(3))
    clips = []
    for musicgen in (plain, made.musicgen):
        torch.manual_seed(0)
        attributes, _ = musicgen._prepare_tokens_and_attributes(list(PROMPTS[:2]), None)
        clips.append(musicgen.lm.generate(prompt, attributes, max_gen_len=90, top_k=TOP_K, cfg_coef=3.0))
    assert torch.equal(*clips)


def test_attention_does_not_know_the_number_of_rows() -> None:
    """Bit for bit, with several threads: the property that packing rests on."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(64, 4, steps, 32, generator=generator) for steps in (1, 77, 77))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = attend(q, k, v)
        assert all(torch.equal(attend(q[:n], k[:n], v[:n]), together[:n]) for n in (1, 2, 7, 31))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(together, torch.nn.functional.scaled_dot_product_attention(q, k, v))
