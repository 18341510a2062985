"""SAELens' format: a folder with ``cfg.json`` and ``sae_weights.safetensors``.

Read: versions 5 (architecture ``standard`` with ``activation_fn`` topk or relu, everything at the top level) and 6
(architectures ``topk``, ``jumprelu``, ``standard``, and of its checkpoints ``batchtopk``; where it belongs under
``metadata``). Written: version 6.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.saes.folder import CONFIG, WEIGHTS
from mech_music.saes.formats.written import Written, must_be, safe_tensors
from mech_music.saes.hook_names import our_hook
from mech_music.saes.sae import About, Activation, Sae

_ARCHITECTURES = {Activation.topk: "topk", Activation.jumprelu: "jumprelu", Activation.relu: "standard"}
_BATCHWISE = ("batchtopk", "matryoshka_batchtopk")  # of checkpoints: used as jumprelu with their one threshold
_READ = "standard, topk, jumprelu and batchtopk"
_SCALED = "expected_average_only_in"
_VERSION = "6.0.0"  # of the format that is written; without one, files are taken for those before 6
_FACTOR, _FACTOR_FILE = "norm_scaling_factor", "activation_scaler.json"


def read(folder: Path) -> Sae:
    """UserError for what the files ask that is not done here; other errors for damaged ones."""
    config = json.loads((folder / CONFIG).read_text())
    tensors, metadata = safe_tensors(folder / WEIGHTS), config.get("metadata") or config
    activation, k = _activation(config, folder)
    threshold = None
    if activation is Activation.jumprelu:
        one = tensors.get("topk_threshold")
        threshold = tensors["threshold"] if one is None else one.expand(len(tensors["b_enc"]))
    W_enc, b_enc, W_dec, b_dec = (tensors[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    centred = bool(config.get("apply_b_dec_to_input", True))
    by_norm = bool(config.get("rescale_acts_by_decoder_norm", False))
    scale = _scale(config, folder)
    written = Written(W_enc, b_enc, W_dec, b_dec, activation, k, threshold, centred, scale, by_norm)
    sae = written.sae(_about(metadata))
    must_be(config.get("d_in"), sae.width, "d_in")
    must_be(config.get("d_sae"), sae.n_features, "d_sae")
    return sae


def _about(metadata: Mapping[str, Any]) -> About:
    written = str(metadata.get("hook_name") or "")
    return About(
        model=str(metadata.get("model_name") or ""),
        weights=str(metadata.get("weights") or ""),
        hook=our_hook(written) if written else "",
        written_hook=written,
        frame_rate=float(metadata.get("frame_rate") or 0),
        sample_rate=int(metadata.get("sample_rate") or 0),
        trained={**metadata.get("trained", {}), "saelens": str(metadata.get("sae_lens_version", ""))},
    )


def _activation(config: Mapping[str, Any], folder: Path) -> tuple[Activation, int]:
    """Which it is, and k. UserError for one that is not known."""
    architecture = str(config.get("architecture", "standard"))
    named = str(config.get("activation_fn") or config.get("activation_fn_str") or "relu")
    if architecture == "standard" and named in ("relu", "topk"):
        architecture = named
    if architecture == "topk":
        k = config.get("k") or (config.get("activation_fn_kwargs") or {})["k"]
        return Activation.topk, int(k)
    if architecture in ("relu", "jumprelu"):
        return Activation(architecture), 0
    if architecture in _BATCHWISE:
        return Activation.jumprelu, 0
    raise UserError(f"the SAE in '{folder}' is of architecture '{architecture}' ({named}): read are {_READ}")


def _scale(config: Mapping[str, Any], folder: Path) -> float:
    """What inputs were multiplied by. UserError for normalisation of each vector by itself, or by what is not told."""
    normalised = config.get("normalize_activations") or "none"
    if normalised is True:  # as early files say it
        normalised = _SCALED
    if normalised not in ("none", _SCALED):
        raise UserError(
            f"the SAE in '{folder}' has normalize_activations={normalised}, which no weights can stand for: "
            f"read are none and {_SCALED}"
        )
    if config.get("finetuning_scaling_factor"):
        raise UserError(f"the SAE in '{folder}' has a finetuning_scaling_factor, which is not read")
    if normalised == "none":
        return 1.0
    factor = config.get(_FACTOR)
    if factor is None and (folder / _FACTOR_FILE).is_file():
        factor = json.loads((folder / _FACTOR_FILE).read_text())["scaling_factor"]
    if factor is None or not float(factor) > 0:
        raise UserError(
            f"the SAE in '{folder}' has normalize_activations={_SCALED} but does not tell by what: "
            f"add its {_FACTOR} to {CONFIG}"
        )
    return float(factor)


def write_sae(sae: Sae, folder: Path) -> None:
    """Write both files as SAELens 6 has them; what only we know stands under ``metadata``."""
    about = sae.about
    config: dict[str, Any] = {
        "architecture": _ARCHITECTURES[sae.activation],
        "d_in": sae.width,
        "d_sae": sae.n_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": _VERSION,
            "model_name": about.model,
            "hook_name": about.hook,
            "weights": about.weights,
            "frame_rate": about.frame_rate,
            "sample_rate": about.sample_rate,
            "trained": dict(about.trained),
        },
    }
    if sae.activation is Activation.topk:
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    tensors: dict[str, Tensor] = {name: getattr(sae, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if sae.threshold is not None:
        tensors["threshold"] = sae.threshold
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS) as partial:
        partial.write_bytes(save({name: one.cpu().contiguous().to(torch.float32) for name, one in tensors.items()}))
    with replacing(folder / CONFIG) as partial:
        partial.write_text(json.dumps(config, indent=2) + "\n")
