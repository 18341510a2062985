"""Marks and Karvonen's dictionary_learning: a folder with ``ae.pt`` and ``config.json``, the trainer's settings.

Facts: the package dictionary-learning 0.1.0. A table says what each of its classes calls its weights; ``nn.Linear``
keeps them the other way round. Its features of class AutoEncoder are those after `normalize_decoder`, as it loads them.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mech_music.base.errors import UserError
from mech_music.saes.formats.written import Written, must_be
from mech_music.saes.hook_names import our_hook
from mech_music.saes.sae import About, Activation, Sae

WEIGHTS, CONFIG = "ae.pt", "config.json"
_LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight")
_PLAIN = ("W_enc", "b_enc", "W_dec")


@dataclass(frozen=True)
class _Kind:
    """``names``: of W_enc, b_enc, W_dec and b_dec."""

    activation: Activation
    names: tuple[str, str, str, str]
    centred: bool = True
    by_norm: bool = False


_KINDS = {
    "AutoEncoder": _Kind(Activation.relu, (*_LINEAR, "bias"), by_norm=True),
    "AutoEncoderNew": _Kind(Activation.relu, (*_LINEAR, "decoder.bias"), centred=False),
    "AutoEncoderTopK": _Kind(Activation.topk, (*_LINEAR, "b_dec")),
    "BatchTopKSAE": _Kind(Activation.jumprelu, (*_LINEAR, "b_dec")),
    "MatryoshkaBatchTopKSAE": _Kind(Activation.jumprelu, (*_PLAIN, "b_dec")),
    "JumpReluAutoEncoder": _Kind(Activation.jumprelu, (*_PLAIN, "b_dec"), centred=False),
}


def read(folder: Path) -> Sae:
    """UserError for another class, and for a pickle of anything but tensors; other errors for damaged files."""
    trainer = json.loads((folder / CONFIG).read_text())["trainer"]
    kind = _KINDS.get(name := str(trainer["dict_class"]))
    if kind is None:
        raise UserError(f"the SAE in '{folder}' is of class '{name}': read are {', '.join(_KINDS)}")
    tensors = _tensors(folder / WEIGHTS)
    W_enc, b_enc, W_dec, b_dec = (tensors[one].float() for one in kind.names)
    if kind.names[0] == _LINEAR[0]:
        W_enc, W_dec = W_enc.T, W_dec.T
    k, threshold = 0, None
    if kind.activation is Activation.topk:
        k = int(tensors["k"] if "k" in tensors else trainer["k"])
    if kind.activation is Activation.jumprelu:
        threshold = tensors["threshold"].float().expand(len(b_enc))
    written = Written(
        W_enc, b_enc, W_dec, b_dec, kind.activation, k, threshold, centred=kind.centred, by_norm=kind.by_norm
    )
    sae = written.sae(_about(trainer))
    must_be(trainer.get("activation_dim"), sae.width, "activation_dim")
    must_be(trainer.get("dict_size"), sae.n_features, "dict_size")
    return sae


def _about(trainer: Mapping[str, Any]) -> About:
    """A layer without a submodule is the residual stream behind it, as the package's own scripts have it."""
    written = str(trainer.get("submodule_name") or f"resid_post_layer_{trainer['layer']}")
    return About(str(trainer.get("lm_name") or ""), "", our_hook(written), written, trained=dict(trainer))


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"'{path}' is damaged or holds more than tensors, and opening it could run code: it is not opened"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(one, Tensor) for one in found.values()):
        raise UserError(f"'{path}' does not hold tensors by name: expected the state_dict of one dictionary")
    return found
