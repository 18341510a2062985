"""The check at load finds what would make hook names or our short ways lie."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.models.musicgen.attention import KeptCrossAttention, PreallocatedSelfAttention
from mech_music.models.musicgen.linear import WIDE, ArrangedLinear, arrange, can_arrange, make_arrangeable, release
from mech_music.models.musicgen.model import HookedMusicGen

with quiet_imports():
    from audiocraft.modules.transformer import LayerScale


def refusal(model: HookedMusicGen) -> str:
    with pytest.raises(UserError) as caught:
        model.check()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_sound_model_passes_twice(made: HookedMusicGen) -> None:
    made.check()
    made.check()


def test_branches_that_do_not_add_up(made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer scale, say, that stands between the MLP's output and the residual stream."""
    layer: Any = made.musicgen.lm.transformer.layers[1]
    monkeypatch.setitem(layer._modules, "layer_scale_2", LayerScale(made.d_model, init=1.5))
    assert "layer 1: branch outputs do not add up" in refusal(made)


@pytest.mark.parametrize("name", ["cross_attention", "linear2", "norm_cross"])
def test_another_module_tree(made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A release of audiocraft that calls its modules otherwise."""
    layer: Any = made.musicgen.lm.transformer.layers[2]
    monkeypatch.setitem(layer._modules, f"{name}_", layer._modules[name])
    monkeypatch.delitem(layer._modules, name)
    line = refusal(made)
    assert f"layer 2 has no {name}" in line and "1.3.0" in line


@pytest.mark.parametrize(("key", "value"), [("num_layers", 4), ("dim", 64), ("n_q", 8), ("card", 128)])
def test_config_that_is_not_the_models(
    made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch, key: str, value: int
) -> None:
    lm: Any = made.musicgen.lm
    config = lm.cfg.copy()
    config.transformer_lm[key] = value
    monkeypatch.setattr(made.musicgen.lm, "cfg", config)
    assert f"transformer_lm.{key}={value}" in refusal(made)


@pytest.mark.parametrize("attention", [PreallocatedSelfAttention, KeptCrossAttention])
def test_short_ways_that_are_not_audiocrafts(
    made: HookedMusicGen, monkeypatch: pytest.MonkeyPatch, attention: Any
) -> None:
    """Attention that forgets its scale: branches still add up, but the logits are others."""
    right = attention._query_keys_values

    def wrong(self: Any, query: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = right(self, query, source)
        return q, k, v.flip(-1)

    monkeypatch.setattr(attention, "_query_keys_values", wrong)
    assert "not audiocraft's own" in refusal(made)


@pytest.mark.skipif(not can_arrange(torch.zeros(WIDE, WIDE)), reason="no oneDNN in this build of torch")
def test_weights_are_arranged_at_first_use_only() -> None:
    linear = nn.Linear(WIDE, WIDE)
    model, x = nn.Sequential(linear), torch.randn(4, WIDE)
    make_arrangeable(model)
    arrange(model)
    assert isinstance(linear, ArrangedLinear) and not linear.__dict__["_arranged"], "nothing is copied yet"
    with torch.no_grad():
        model(x)
        assert len(linear.__dict__["_arranged"]) == 1
        release(model)
        assert "_arranged" not in linear.__dict__
        assert torch.equal(model(x), nn.functional.linear(x, linear.weight, linear.bias))
