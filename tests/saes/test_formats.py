"""The other formats: each is known by its files, computes what its own package would, and what it cannot be used for
is one line. Against the packages themselves where they are installed; by hand where they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mech_music.base.errors import UserError
from mech_music.saes.files import Place, check_sae, read_sae
from mech_music.saes.folder import find_sae, format_of
from mech_music.saes.sae import Activation
from tests.saes.made import (
    VERSION_5,
    VERSION_6,
    WIDTH,
    N,
    by_hand,
    dictionary,
    largest,
    linear,
    sparsified,
    weights,
    write,
)
from tests.saes.test_files import VECTORS, X, assert_computes


def relu(pre: np.ndarray) -> np.ndarray:
    return pre.clip(min=0)


def above(edge: Any) -> Any:
    return lambda pre: np.where(pre > edge, relu(pre), 0)


def test_sparsify(tmp_path: Path) -> None:
    of = weights()
    folder = sparsified(
        tmp_path / "layers.11",
        {k: v for k, v in linear(of, "b_dec").items() if k != "decoder.weight"} | {"W_dec": of["W_dec"]},
    )
    sae = read_sae(folder)
    assert_computes(sae, *by_hand(X, of, largest(5)))
    assert (sae.about.hook, sae.about.written_hook, sae.about.model) == ("blocks.11.hook_resid_post", "layers.11", "")
    assert read_sae(folder.rename(tmp_path / "mine")).about.hook == "", "no hook's name"
    for changed, line in (
        ({"transcode": True}, "holds no autoencoder"), ({"k": 41}, "k 41: expected 1 to its width, 40"),
        ({"activation": "groupmax"}, "activation 'groupmax': read is topk"), ({"num_latents": 9}, "weights have 40"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=line):
            read_sae(sparsified(tmp_path / "mine", linear(of, "b_dec") | {"W_dec": of["W_dec"]}, **changed))


def test_dictionaries(tmp_path: Path) -> None:
    """relu after their normalize_decoder; topk by vector, although a threshold is there, thresholds for the rest."""
    of = weights()
    norm = of["W_dec"].norm(dim=1).double().numpy()
    numbers = {"k": torch.tensor(5, dtype=torch.int), "threshold": torch.tensor(1.5)}
    plain = {name: of[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    edges = torch.linspace(0, 3, N)
    groups = {"group_sizes": torch.tensor([8, 32])}
    features, read = by_hand(X, of, relu)
    cases = {
        "AutoEncoder": (linear(of, "bias"), features * norm, read),
        "AutoEncoderTopK": (linear(of, "b_dec") | numbers, *by_hand(X, of, largest(5))),
        "BatchTopKSAE": (linear(of, "b_dec") | numbers, *by_hand(X, of, above(1.5))),
        "MatryoshkaBatchTopKSAE": (plain | numbers | groups, *by_hand(X, of, above(1.5))),
    }
    uncentred = by_hand(X, of | {"b_enc": of["b_enc"] + of["b_dec"] @ of["W_enc"]}, relu)
    cases["AutoEncoderNew"] = (linear(of, "decoder.bias"), *uncentred)
    jumped = by_hand(X, of | {"b_enc": of["b_enc"] + of["b_dec"] @ of["W_enc"]}, above(edges.numpy()))
    cases["JumpReluAutoEncoder"] = (plain | {"threshold": edges}, *jumped)
    for kind, (tensors, wanted, back) in cases.items():
        sae = read_sae(dictionary(tmp_path / kind, kind, tensors, k=5))
        assert_computes(sae, wanted, back)
        assert (sae.about.model, sae.about.hook) == ("facebook/musicgen-small", "blocks.11.hook_resid_post")
        check_sae(sae, kind, Place("blocks.11.hook_resid_post", ("small",), "", WIDTH, 50.0))


def test_what_saelens_folds_before_it_saves_is_folded_here(tmp_path: Path) -> None:
    """The factor beside a checkpoint, a batchtopk's one threshold on what features add, as its training has them."""
    of, factor, edge = weights(), 0.37, 2.0
    config = VERSION_6 | {"architecture": "batchtopk", "normalize_activations": "expected_average_only_in"}
    folder = write(tmp_path, config, of | {"topk_threshold": torch.tensor(edge, dtype=torch.double)})
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    norm = of["W_dec"].norm(dim=1).double().numpy()
    features, _ = by_hand(X * factor, of, lambda pre: above(edge)(pre * norm))
    back = ((features / norm) @ of["W_dec"].double().numpy() + of["b_dec"].double().numpy()) / factor
    assert_computes(read_sae(folder), features / factor, back)


@pytest.mark.parametrize("centred", [True, False])
def test_a_stated_factor(tmp_path: Path, centred: bool) -> None:
    of, factor = weights(), 0.37
    scaled = {"normalize_activations": "expected_average_only_in", "norm_scaling_factor": factor}
    sae = read_sae(write(tmp_path, VERSION_5 | scaled | {"apply_b_dec_to_input": centred}, of))
    shifted = of if centred else of | {"b_enc": of["b_enc"] + of["b_dec"] @ of["W_enc"]}
    features, back = by_hand(X * factor, shifted, largest(5))
    assert_computes(sae, features, back / factor)


class Runs:
    """A pickle of this runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was_run"),)


def test_what_is_no_sae_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of = weights()
    good = linear(of, "bias")
    bad: dict[str, tuple[Path, str]] = {
        "class": (dictionary(tmp_path / "a", "GatedAutoEncoder", good), "class 'GatedAutoEncoder': read are"),
        "pickle": (dictionary(tmp_path / "b", "AutoEncoder", good | {"x": Runs()}), "could run code: it is not opened"),
        "no tensors": (dictionary(tmp_path / "c", "AutoEncoder", {"bias": 3}), "does not hold tensors by name"),
        "half": (dictionary(tmp_path / "d", "AutoEncoder", {"bias": of["b_dec"]}), r"cannot be read \(KeyError: 'enc"),
        "width": (dictionary(tmp_path / "e", "AutoEncoder", good, dict_size=9), "dict_size 9, the weights have 40"),
        "nan": (dictionary(tmp_path / "f", "AutoEncoder", good | {"bias": of["b_dec"] * torch.nan}), "are not finite"),
        "hook": (dictionary(tmp_path / "g", "AutoEncoder", good, submodule_name="x"), "hook 'x' is not known"),
        "shapes": (sparsified(tmp_path / "h", linear(of, "b_dec") | {"W_dec": of["W_dec"].T}), "do not fit each other"),
    }  # fmt: skip
    for folder, line in bad.values():
        with pytest.raises(UserError, match=line) as error:
            read_sae(folder)
        assert "\n" not in str(error.value)
    assert not Path("was_run").exists()
    (tmp_path / "e" / "ae.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match=r"damaged|cannot be read") as error:
        read_sae(tmp_path / "e")
    assert "\n" not in str(error.value)


def test_the_dc_sae_releases_are_known_and_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    save_file({"one": torch.zeros(3, 2)}, tmp_path / "model.safetensors")
    assert find_sae(str(tmp_path)).digest
    with pytest.raises(UserError, match=r"DC-SAE releases' format, whose card does not say .*one \[3, 2\]"):
        read_sae(tmp_path)


def test_files_tell_the_format_and_content_names_it(tmp_path: Path) -> None:
    folder = dictionary(tmp_path, "AutoEncoder", linear(weights(), "bias"))
    assert format_of(folder).name == "dictionary_learning"
    before = find_sae(str(folder)).digest
    dictionary(tmp_path, "AutoEncoder", linear(weights(1), "bias"))
    assert find_sae(str(folder)).digest != before, "read again when it was written again"
    assert read_sae(folder).activation is Activation.relu
    assert torch.isfinite(read_sae(folder)(VECTORS)).all()
