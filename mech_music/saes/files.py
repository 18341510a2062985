"""SAEs in SAELens' format: a folder with ``cfg.json`` and ``sae_weights.safetensors``.

Read: versions 5 (architecture ``standard`` with ``activation_fn`` topk or relu, everything at the top level) and 6
(architectures ``topk``, ``jumprelu``, ``standard``; where it belongs under ``metadata``). Written: version 6.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.saes.folder import CONFIG, WEIGHTS
from mech_music.saes.hook_names import our_hook
from mech_music.saes.sae import About, Activation, Sae

_ARCHITECTURES = {Activation.topk: "topk", Activation.jumprelu: "jumprelu", Activation.relu: "standard"}
_READ = "standard, topk and jumprelu"


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
            "model_name": about.model,
            "hook_name": about.hook,
            "weights": about.weights,
            "frame_rate": about.frame_rate,
            "trained": dict(about.trained),
        },
    }
    if sae.activation is Activation.topk:
        config |= {"k": sae.k, "rescale_acts_by_decoder_norm": False}
    tensors = {name: getattr(sae, name).cpu().contiguous() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    if sae.threshold is not None:
        tensors["threshold"] = sae.threshold.cpu().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS) as partial:
        partial.write_bytes(save(tensors))
    with replacing(folder / CONFIG) as partial:
        partial.write_text(json.dumps(config, indent=2) + "\n")


def read_sae(folder: Path) -> Sae:
    """UserError for files that are damaged, and for what they ask that is not done here."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = {name: tensor.float() for name, tensor in load((folder / WEIGHTS).read_bytes()).items()}
        sae = _assembled(config, tensors, folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(
            f"the SAE in '{folder}' cannot be read ({first_line(error)}): fetch or write it again"
        ) from None
    return sae


@dataclass(frozen=True)
class Place:
    """Where an SAE is to be used. ``names``: of the model, that on the Hub among them; ``weights``: the fingerprint of
    its checkpoint; ``frame_rate``: frames a second."""

    hook: str
    names: tuple[str, ...]
    weights: str
    width: int
    frame_rate: float


def check_sae(sae: Sae, folder: str, place: Place) -> None:
    """UserError for an SAE of another hook, width, model or frame rate, as far as its file tells."""
    about, where, hook, names = sae.about, f"the SAE in '{folder}'", place.hook, place.names
    if about.hook != hook:
        written = "" if about.written_hook == about.hook else f" (written {about.written_hook})"
        raise UserError(f"{where} is of {about.hook}{written}, not of {hook}: choose its layer and component")
    if sae.width != place.width:
        raise UserError(
            f"{where} is of vectors of {sae.width} numbers, but {hook} of model '{names[0]}' has {place.width}"
        )
    other_weights = about.weights and about.weights != place.weights
    other_name = not about.weights and about.model and not {_bare(about.model)} & {_bare(name) for name in names}
    if other_weights or other_name:
        raise UserError(f"{where} is of model '{about.model}', not of '{names[0]}': choose that model, or another SAE")
    if about.frame_rate and about.frame_rate != place.frame_rate:
        raise UserError(
            f"{where} is of {about.frame_rate:g} frames a second, model '{names[0]}' has {place.frame_rate:g}"
        )


def _bare(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2].removeprefix("musicgen-").lower()


def _assembled(config: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path) -> Sae:
    metadata = config.get("metadata") or config
    activation, k = _activation(config, folder)
    _must_be_done_here(config, folder)
    W_enc, b_enc, W_dec, b_dec = (tensors[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    if not config.get("apply_b_dec_to_input", True):
        b_enc = b_enc + b_dec @ W_enc  # so that it is taken off and comes back
    if config.get("rescale_acts_by_decoder_norm", False):
        norm = W_dec.norm(dim=1)
        W_enc, b_enc, W_dec = W_enc * norm, b_enc * norm, W_dec / norm[:, None]
    threshold = tensors["threshold"].relu() if activation is Activation.jumprelu else None
    _must_fit(config, W_enc, b_enc, W_dec, b_dec)
    written = str(metadata["hook_name"])
    told = {**metadata.get("trained", {}), "saelens": str(metadata.get("sae_lens_version", ""))}
    model, weights = str(metadata.get("model_name") or ""), str(metadata.get("weights") or "")
    about = About(model, weights, our_hook(written), written, float(metadata.get("frame_rate") or 0), told)
    return Sae(W_enc, b_enc, W_dec, b_dec, activation, k, threshold, about)


def _activation(config: Mapping[str, Any], folder: Path) -> tuple[Activation, int]:
    """Which it is, and k. UserError for one that is not known."""
    architecture = str(config.get("architecture", "standard"))
    named = str(config.get("activation_fn") or config.get("activation_fn_str") or "relu")
    if architecture == "standard" and named in ("relu", "topk"):
        architecture = named
    if architecture == "topk":
        k = config.get("k") or (config.get("activation_fn_kwargs") or {})["k"]
        if not 1 <= int(k) <= int(config["d_sae"]):
            raise UserError(f"the SAE in '{folder}' has k {k}: expected 1 to its width, {config['d_sae']}")
        return Activation.topk, int(k)
    if architecture in ("relu", "jumprelu"):
        return Activation(architecture), 0
    raise UserError(f"the SAE in '{folder}' is of architecture '{architecture}' ({named}): read are {_READ}")


def _must_be_done_here(config: Mapping[str, Any], folder: Path) -> None:
    """UserError for normalisation at run time, which would change what features mean if it were left out."""
    if (normalised := config.get("normalize_activations", "none")) not in ("none", None):
        raise UserError(
            f"the SAE in '{folder}' has normalize_activations={normalised}: read are those with none (fold it in first)"
        )
    if config.get("finetuning_scaling_factor"):
        raise UserError(f"the SAE in '{folder}' has a finetuning_scaling_factor, which is not read")


def _must_fit(config: Mapping[str, Any], W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, b_dec: Tensor) -> None:
    width, n = int(config["d_in"]), int(config["d_sae"])
    shapes = [tuple(one.shape) for one in (W_enc, b_enc, W_dec, b_dec)]
    if shapes != [(width, n), (n,), (n, width), (width,)]:
        raise ValueError(f"weights are {shapes}, not of d_in {width} and d_sae {n}")
    if not all(torch.isfinite(one).all() for one in (W_enc, b_enc, W_dec, b_dec)):
        raise ValueError("weights are not finite")
