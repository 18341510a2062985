"""SAELens' format: what is read is what SAELens would compute, what is written is read back, and what is not fit to be
used is one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mech_music.base.errors import UserError
from mech_music.saes.files import Place, check_sae, read_sae, write_sae
from mech_music.saes.folder import find_sae
from mech_music.saes.hook_names import our_hook
from mech_music.saes.sae import About, Activation, Sae
from tests.saes.made import VERSION_5, VERSION_6, WIDTH, N, by_hand, largest, weights, write

X = np.random.default_rng(0).normal(size=(7, WIDTH)) * 2
VECTORS = torch.from_numpy(X).float()
HERE = Place("blocks.11.hook_resid_post", ("small", "facebook/musicgen-small"), "abc", WIDTH, 50.0)


def assert_computes(sae: Sae, features: np.ndarray, read: np.ndarray) -> None:
    np.testing.assert_allclose(sae.encode(VECTORS).numpy(), features, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sae(VECTORS).numpy(), read, rtol=1e-5, atol=1e-5)
    assert (features > 0).any() and (features == 0).any()


def test_version_5_as_published(tmp_path: Path) -> None:
    of = weights()
    sae = read_sae(write(tmp_path, VERSION_5, of))
    assert_computes(sae, *by_hand(X, of, largest(5)))
    assert (sae.about.model, sae.about.hook) == ("facebook/musicgen-small", "blocks.11.hook_resid_post")
    assert (sae.about.written_hook, sae.activation, sae.k) == ("hook_layers.11", Activation.topk, 5)
    check_sae(sae, "folder", HERE)


def test_version_6_topk_chosen_by_what_features_add(tmp_path: Path) -> None:
    """rescale_acts_by_decoder_norm: the longest contributions are kept, not the largest activations."""
    of = weights()
    norm = of["W_dec"].norm(dim=1).double().numpy()
    features, _ = by_hand(X, of, lambda pre: largest(5)(pre * norm))
    read = (features / norm) @ of["W_dec"].double().numpy() + of["b_dec"].double().numpy()
    assert_computes(read_sae(write(tmp_path, VERSION_6, of)), features, read)


def test_version_6_jumprelu_and_its_threshold(tmp_path: Path) -> None:
    of = weights()
    threshold = torch.linspace(-1, 4, N)
    config = {key: value for key, value in VERSION_6.items() if key not in ("k", "rescale_acts_by_decoder_norm")}
    sae = read_sae(write(tmp_path, config | {"architecture": "jumprelu"}, of | {"threshold": threshold}))
    edge = threshold.clamp(min=0).numpy()
    assert_computes(sae, *by_hand(X, of, lambda pre: np.where(pre > edge, pre.clip(min=0), 0)))


def test_a_standard_sae_that_does_not_centre_its_input(tmp_path: Path) -> None:
    of = weights()
    config = VERSION_5 | {"activation_fn": "relu", "activation_fn_kwargs": {}, "apply_b_dec_to_input": False}
    pre = X @ of["W_enc"].double().numpy() + of["b_enc"].double().numpy()
    features = pre.clip(min=0)
    read = features @ of["W_dec"].double().numpy() + of["b_dec"].double().numpy()
    assert_computes(read_sae(write(tmp_path, config, of)), features, read)


@pytest.mark.parametrize("activation", Activation)
def test_what_is_written_is_read_back(tmp_path: Path, activation: Activation) -> None:
    threshold = torch.rand(N) if activation is Activation.jumprelu else None
    k = 3 if activation is Activation.topk else 0
    about = About("tiny", "abc", "blocks.4.hook_resid_post", "", 25.0, {"epochs": 2})
    sae = Sae(**weights(), activation=activation, k=k, threshold=threshold, about=about)
    write_sae(sae, tmp_path)
    found = read_sae(tmp_path)
    assert torch.equal(found(VECTORS), sae(VECTORS))
    assert replace(found.about, written_hook="", trained={"epochs": 2}) == about
    assert find_sae(str(tmp_path)) == replace(find_sae(str(tmp_path)), path="elsewhere"), "named by content"


def test_what_saelens_6_needs_is_there(tmp_path: Path) -> None:
    """The fields of its TopKSAEConfig (d_in, d_sae, k, …) and, under metadata, the hook's name."""
    write_sae(Sae(**weights(), activation=Activation.topk, k=3, about=About("tiny", "", "blocks.4.x", "")), tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert set(VERSION_6) == set(config)
    assert (config["architecture"], config["k"], config["d_in"], config["d_sae"]) == ("topk", 3, WIDTH, N)
    assert config["rescale_acts_by_decoder_norm"] is False, "their default is False, ours has to be as well"
    assert config["metadata"]["hook_name"] == "blocks.4.x"
    assert config["metadata"]["sae_lens_version"].startswith("6."), "without it, metadata are looked for elsewhere"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "k beyond the width": ({"activation_fn_kwargs": {"k": 41}}, "k 41: expected 1 to its width, 40"),
    "an architecture": ({"architecture": "gated"}, "architecture 'gated'.*read are standard, topk, jumprelu and batch"),
    "normalisation": ({"normalize_activations": "layer_norm"}, "normalize_activations=layer_norm, which no weights"),
    "whitening": ({"normalize_activations": "covariance_whitening"}, "normalize_activations=covariance_whitening"),
    "an unknown factor": ({"normalize_activations": True}, "does not tell by what: add its norm_scaling_factor"),
    "a width that is not that of the weights": ({"d_in": 13}, "cannot be read"),
    "a hook": ({"hook_name": "encoder.3"}, "the SAE's hook 'encoder.3' is not known"),
    "no hook": ({"hook_name": "blocks.1.hook_odd"}, "unknown hook 'blocks.1.hook_odd'"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, what: str) -> None:
    changed, line = BAD[what]
    with pytest.raises(UserError, match=line) as error:
        read_sae(write(tmp_path, VERSION_5 | changed, weights()))
    assert "\n" not in str(error.value)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no SAE in .*sae_weights.safetensors"):
        find_sae(str(tmp_path))
    write(tmp_path, VERSION_5, weights() | {"W_dec": torch.full((N, WIDTH), torch.nan)})
    with pytest.raises(UserError, match="not finite"):
        read_sae(tmp_path)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="cannot be read"):
        read_sae(tmp_path)


ELSEWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "hook": ({"hook": "blocks.10.hook_resid_post"}, r"of blocks.11.hook_resid_post \(written hook_layers.11\), not of"),
    "width": ({"width": 16}, "of vectors of 12 numbers, but blocks.11.hook_resid_post of model 'small' has 16"),
    "model": ({"names": ("medium",)}, "of model 'facebook/musicgen-small', not of 'medium'"),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_an_sae_of_another_place_is_refused(tmp_path: Path, what: str) -> None:
    changed, line = ELSEWHERE[what]
    sae = read_sae(write(tmp_path, VERSION_5, weights()))
    with pytest.raises(UserError, match=line):
        check_sae(sae, "folder", replace(HERE, **changed))


def test_weights_and_frame_rate_decide_where_they_are_told(tmp_path: Path) -> None:
    about = About("another name", "abc", HERE.hook, "", 50.0, sample_rate=32000)
    sae = Sae(**weights(), activation=Activation.topk, k=3, about=about)
    check_sae(sae, "folder", HERE)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"weights": "abd"}, "of model 'another name'"),
        ({"frame_rate": 25.0}, "of 50 frames a second"),
        ({"sample_rate": 16000}, "of 32000 samples a second"),
    ]
    for changed, line in changes:
        with pytest.raises(UserError, match=line):
            check_sae(sae, "folder", replace(HERE, **changed))


@pytest.mark.parametrize(
    ("name", "ours"),
    [("hook_layers.3", "blocks.3.hook_resid_post"), ("blocks.2.attn.hook_z", "blocks.2.attn.hook_z"),
     ("lm.transformer.layers.5", "blocks.5.hook_resid_post")],
)  # fmt: skip
def test_foreign_hook_names(name: str, ours: str) -> None:
    assert our_hook(name) == ours
