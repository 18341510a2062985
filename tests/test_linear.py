"""Arranged weights: the same products, seen changes, and rows that still do not know their neighbours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mech_music.benchmarks.config import Shape
from mech_music.benchmarks.models import make_random
from mech_music.models.musicgen.linear import WIDE, Arranged, ArrangedLinear, arrange, can_arrange, make_arrangeable
from mech_music.models.musicgen.loading import load_model
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.models.sampling import Sampling

pytestmark = pytest.mark.skipif(not can_arrange(torch.zeros(WIDE, WIDE)), reason="no oneDNN in this build of torch")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> HookedMusicGen:
    shape = Shape(layers=2, width=WIDE, heads=16, codes=1024, text_width=64, text_layers=1)
    return load_model(str(make_random(shape, tmp_path_factory.mktemp("wide")).folder), device="cpu")


def layer() -> ArrangedLinear:
    plain = nn.Linear(WIDE, 2 * WIDE)
    make_arrangeable(nn.Sequential(plain))
    arrange(nn.Sequential(plain))
    assert isinstance(plain, ArrangedLinear)
    return plain


@torch.no_grad()
def test_product_is_the_plain_one() -> None:
    linear, x = layer(), torch.randn(70, 1, WIDE)
    torch.testing.assert_close(linear(x), nn.functional.linear(x, linear.weight, linear.bias), rtol=1e-5, atol=1e-5)
    assert linear.__dict__["_arranged"], "it took the short way"


@torch.no_grad()
def test_changed_weights_are_seen() -> None:
    linear, x = layer(), torch.randn(70, WIDE)
    linear(x)
    linear.weight[3] = 0
    assert torch.equal(linear(x)[:, 3], linear.bias[3].expand(70))
    linear.load_state_dict(nn.Linear(WIDE, 2 * WIDE).state_dict())
    torch.testing.assert_close(linear(x), nn.functional.linear(x, linear.weight, linear.bias), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_plain_layer() -> None:
    linear, x = layer(), torch.randn(5, WIDE, requires_grad=True)
    linear(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0], linear.weight.sum(0))


def test_narrow_layers_are_left_alone() -> None:
    narrow = nn.Linear(WIDE // 2, WIDE)
    make_arrangeable(nn.Sequential(narrow))
    assert type(narrow) is nn.Linear


@pytest.mark.parametrize("threads", [1, 2])
def test_a_wide_models_rows_do_not_know_their_neighbours(wide: HookedMusicGen, threads: int) -> None:
    """Hidden values bit for bit, from the smallest pass to a large one, and in another order.

    On processors whose products have other last bits for other numbers of rows, tokens are equal and values close.
    """
    names = ["blocks.1.hook_resid_post"]
    prompts, seeds = ["Compose a happy rock piece."] * 150, list(range(150))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        all_tokens, everything = wide.run_with_cache(prompts, names, seeds=seeds, duration=0.2)
        for some in (list(range(8)), list(range(149, 99, -1)), list(range(0, 150, 2))):
            tokens, cache = wide.run_with_cache([prompts[0]] * len(some), names, seeds=some, duration=0.2)
            assert torch.equal(tokens, all_tokens[some])
            if _products_keep_their_bits():
                assert torch.equal(cache[names[0]], everything[names[0]][:, some])
            torch.testing.assert_close(cache[names[0]], everything[names[0]][:, some], rtol=1e-4, atol=1e-5)
    finally:
        torch.set_num_threads(before)


def _products_keep_their_bits() -> bool:
    """Whether a row of oneDNN's product is the same beside 16, 100, 150 and 300 rows, for every shape of the model."""
    generator = torch.Generator().manual_seed(0)
    for out, width in ((WIDE, WIDE), (3 * WIDE, WIDE), (4 * WIDE, WIDE), (WIDE, 4 * WIDE)):
        weight, x = torch.randn(out, width, generator=generator), torch.randn(300, width, generator=generator)
        arranged = Arranged(weight)
        whole = arranged.apply(x, None)
        if not all(torch.equal(arranged.apply(x[:n], None), whole[:n]) for n in (16, 100, 150)):
            return False
    return True


def test_a_wide_model_takes_the_short_way(wide: HookedMusicGen) -> None:
    """In every product of a pass, although nnsight has wrapped the modules."""
    wide.generate(["Compose a happy rock piece."] * 8, duration=0.1)
    keepers = {name: module.__dict__.get("_arranged") for name, module in wide.musicgen.lm.named_modules()}
    layer = "transformer.layers.1"
    names = ["self_attn", "self_attn.out_proj", "cross_attention", "cross_attention.out_proj", "linear1", "linear2"]
    assert all(keepers[f"{layer}.{name}"] for name in names) and all(keepers[f"linears.{k}"] for k in range(4))


def test_bfloat16_is_near_float32(tmp_path: Path, wide: HookedMusicGen) -> None:
    """Teacher-forced along the same tokens, the residual stream differs by rounding only."""
    folder = make_random(Shape(2, WIDE, 16, 1024, 64, 1), tmp_path).folder
    half = load_model(str(folder), device="cpu", dtype="bfloat16")
    assert half.dtype is torch.bfloat16
    name, prompts = "blocks.1.hook_resid_post", ["Compose a happy rock piece."] * 32
    tokens = wide.generate(prompts, list(range(32)), 0.2, Sampling())
    _, full = wide.run_with_cache(prompts, name, duration=0.2, forced=tokens)
    _, rounded = half.run_with_cache(prompts, name, duration=0.2, forced=tokens)
    assert not torch.is_autocast_enabled("cpu")
    error = (rounded[name].float() - full[name]).norm() / full[name].norm()
    assert 0 < error < 0.03
