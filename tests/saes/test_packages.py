"""Against the packages whose formats are read and written, where they are installed: what theirs computes from our
files and ours from theirs is the same to 1e-6 of the largest value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mech_music.saes.files import read_sae, write_sae
from mech_music.saes.sae import About, Activation, Sae
from tests.saes.made import VERSION_5, WIDTH, N, weights, write

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # they take long to import
DRAW = torch.Generator().manual_seed(1)
VECTORS = torch.randn(200, WIDTH, generator=DRAW) * 2
SIZES: dict[str, Any] = {"d_in": WIDTH, "d_sae": N}
HOOK = "blocks.1.hook_resid_post"


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, in units of the largest value."""
    return float((one - other).abs().max() / one.abs().max())


def assert_same(name: str, ours: Sae, encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor]) -> None:
    with torch.no_grad():
        wanted = encode(VECTORS)
        found = ours.encode(VECTORS)
        off = apart(wanted, found), apart(decode(wanted), ours.decode(found))
    assert (wanted > 0).any() and (wanted == 0).any()
    assert max(off) < 1e-6, f"{name}: features differ by {off[0]:.1e}, reconstructions by {off[1]:.1e}"


@pytest.mark.parametrize("activation", Activation)
def test_saelens_reads_what_we_write(tmp_path: Path, activation: Activation) -> None:
    lens = pytest.importorskip("sae_lens")
    threshold = torch.rand(N, generator=DRAW) * 3 if activation is Activation.jumprelu else None
    k = 5 if activation is Activation.topk else 0
    ours = Sae(**weights(), activation=activation, k=k, threshold=threshold, about=About("made", "", HOOK, HOOK, 50.0))
    write_sae(ours, tmp_path)
    theirs = lens.SAE.load_from_disk(tmp_path)
    assert theirs.cfg.metadata.hook_name == HOOK
    assert_same(activation, ours, theirs.encode, theirs.decode)


def _theirs(lens: Any, kind: str) -> Any:
    if kind.startswith("topk"):
        found = lens.TopKSAE(lens.TopKSAEConfig(**SIZES, k=5, rescale_acts_by_decoder_norm=kind.endswith("rescaled")))
    elif kind == "jumprelu":
        found = lens.JumpReLUSAE(lens.JumpReLUSAEConfig(**SIZES))
    else:
        found = lens.StandardSAE(lens.StandardSAEConfig(**SIZES, apply_b_dec_to_input=kind != "standard uncentred"))
    found.cfg.metadata.hook_name = HOOK
    return _filled(found)


def _filled(theirs: Any) -> Any:
    extra = {"threshold": torch.linspace(-1, 4, N)}
    extra |= {"topk_threshold": torch.tensor(3.0, dtype=torch.double)}
    state = theirs.state_dict()
    theirs.load_state_dict({name: (weights() | extra)[name] for name in state})
    return theirs


@pytest.mark.parametrize("kind", ["standard", "standard uncentred", "topk", "topk rescaled", "jumprelu"])
def test_we_read_what_saelens_writes(tmp_path: Path, kind: str) -> None:
    theirs = _theirs(pytest.importorskip("sae_lens"), kind)
    theirs.save_model(tmp_path)
    assert_same(kind, read_sae(tmp_path), theirs.encode, theirs.decode)


@pytest.mark.parametrize("factor", [None, 0.37])
def test_we_read_a_batchtopk_as_saelens_saves_it_in_the_end(tmp_path: Path, factor: float | None) -> None:
    """Its checkpoint, and what it makes of it for use."""
    lens = pytest.importorskip("sae_lens")
    normalised = "none" if factor is None else "expected_average_only_in"
    config = lens.BatchTopKTrainingSAEConfig(**SIZES, k=5, normalize_activations=normalised)
    config.metadata.hook_name = HOOK
    theirs = _filled(lens.BatchTopKTrainingSAE(config))
    theirs.save_model(tmp_path / "checkpoint")
    if factor is not None:
        (tmp_path / "checkpoint" / "activation_scaler.json").write_text(f'{{"scaling_factor": {factor}}}')
        theirs.fold_activation_norm_scaling_factor(factor)
    theirs.save_inference_model(tmp_path / "use")
    used = lens.SAE.load_from_disk(tmp_path / "use")
    for name in ("use", "checkpoint"):
        assert_same(name, read_sae(tmp_path / name), used.encode, used.decode)


def test_version_5_files_are_the_same_to_both(tmp_path: Path) -> None:
    lens = pytest.importorskip("sae_lens")
    theirs = lens.SAE.load_from_disk(write(tmp_path, VERSION_5, weights()))
    assert_same("version 5", read_sae(tmp_path), theirs.encode, theirs.decode)


def test_we_read_what_sparsify_writes(tmp_path: Path) -> None:
    package = pytest.importorskip("sparsify")
    theirs = package.SparseCoder(WIDTH, package.SparseCoderConfig(num_latents=N, k=5))
    of = weights()
    named = {"encoder.weight": of["W_enc"].T, "encoder.bias": of["b_enc"], "W_dec": of["W_dec"], "b_dec": of["b_dec"]}
    theirs.load_state_dict(named)
    theirs.save_to_disk(tmp_path / "layers.1")

    def encode(x: Tensor) -> Tensor:
        found = theirs.encode(x)
        return torch.zeros(len(x), N).scatter(1, found.top_indices, found.top_acts)

    assert_same("sparsify", read_sae(tmp_path / "layers.1"), encode, lambda f: f @ theirs.W_dec + theirs.b_dec)


@pytest.mark.parametrize(
    ("kind", "names"),
    [("AutoEncoder", "bias"), ("AutoEncoderNew", "decoder.bias"), ("AutoEncoderTopK", "b_dec"),
     ("BatchTopKSAE", "b_dec"), ("JumpReluAutoEncoder", ""), ("MatryoshkaBatchTopKSAE", "")],
)  # fmt: skip
def test_we_read_what_dictionary_learning_writes(tmp_path: Path, kind: str, names: str) -> None:
    pytest.importorskip("dictionary_learning")
    from dictionary_learning import dictionary as plain  # pyright: ignore[reportMissingImports]
    from dictionary_learning.trainers import (  # pyright: ignore[reportMissingImports]
        batch_top_k,
        matryoshka_batch_top_k,
        top_k,
    )

    from tests.saes.made import dictionary, linear

    place = next(one for one in (plain, top_k, batch_top_k, matryoshka_batch_top_k) if hasattr(one, kind))
    of = weights()
    tensors = linear(of, names) if names else dict(of)
    if "TopK" in kind:
        tensors |= {"k": torch.tensor(5, dtype=torch.int), "threshold": torch.tensor(2.0)}
    if kind == "MatryoshkaBatchTopKSAE":
        tensors["group_sizes"] = torch.tensor([8, N - 8])
    if kind == "JumpReluAutoEncoder":
        tensors["threshold"] = torch.linspace(0, 3, N)
    folder = dictionary(tmp_path, kind, tensors, k=5)
    theirs = getattr(place, kind).from_pretrained(folder / "ae.pt")
    assert_same(kind, read_sae(folder), theirs.encode, theirs.decode)


def test_a_reconstruction_is_the_same_after_both_ways(tmp_path: Path) -> None:
    """Read theirs, write ours, read by theirs."""
    lens = pytest.importorskip("sae_lens")
    theirs = _theirs(lens, "topk rescaled")
    theirs.save_model(tmp_path / "theirs")
    ours = read_sae(tmp_path / "theirs")
    write_sae(replace(ours, about=replace(ours.about, hook=HOOK)), tmp_path / "ours")
    with torch.no_grad():
        assert apart(theirs(VECTORS), lens.SAE.load_from_disk(tmp_path / "ours")(VECTORS)) < 1e-6
