"""SAEs as SAELens leaves them on disk, written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

WIDTH, N = 12, 40


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random ones, decoder rows of no particular length."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (WIDTH, N), "b_enc": (N,), "W_dec": (N, WIDTH), "b_dec": (WIDTH,)}
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


VERSION_5: dict[str, Any] = {  # the fields of the SAEs published for musicgen-small
    "architecture": "standard",
    "model_name": "facebook/musicgen-small",
    "hook_name": "hook_layers.11",
    "hook_layer": 11,
    "hook_head_index": None,
    "d_in": WIDTH,
    "d_sae": N,
    "activation_fn": "topk",
    "activation_fn_kwargs": {"k": 5},
    "apply_b_dec_to_input": True,
    "finetuning_scaling_factor": False,
    "normalize_activations": "none",
    "normalize_sae_decoder": True,
    "context_size": 501,
    "sae_lens_version": "5.3.2",
    "dtype": "float32",
    "device": "cuda",
}
VERSION_6: dict[str, Any] = {
    "architecture": "topk",
    "d_in": WIDTH,
    "d_sae": N,
    "k": 5,
    "rescale_acts_by_decoder_norm": True,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {
        "sae_lens_version": "6.54.12",
        "model_name": "made",
        "hook_name": "blocks.1.hook_resid_post",
        "hook_head_index": None,
    },
}


def write(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Path:
    """Both files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


def by_hand(x: np.ndarray, of: dict[str, torch.Tensor], keep: Any) -> tuple[np.ndarray, np.ndarray]:
    """Features and reconstruction in float64; ``keep`` gives features of one vector's pre-activations."""
    W_enc, b_enc, W_dec, b_dec = (of[name].double().numpy() for name in ("W_enc", "b_enc", "W_dec", "b_dec"))
    features = np.stack([keep(one) for one in (x - b_dec) @ W_enc + b_enc])
    return features, features @ W_dec + b_dec


def largest(k: int) -> Any:
    """Of one vector's pre-activations, the k largest where they are positive."""

    def keep(pre: np.ndarray) -> np.ndarray:
        found = np.zeros_like(pre)
        for place in sorted(range(len(pre)), key=lambda i: -pre[i])[:k]:
            found[place] = max(pre[place], 0)
        return found

    return keep


def dictionary(folder: Path, kind: str, tensors: Mapping[str, Any], **trainer: Any) -> Path:
    """The two files of dictionary_learning."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"dict_class": kind, "layer": 11, "lm_name": "facebook/musicgen-small", "submodule_name": None}
    about |= {"activation_dim": WIDTH, "dict_size": N, **trainer}
    (folder / "config.json").write_text(json.dumps({"trainer": about, "buffer": {"ctx_len": 501}}))
    torch.save(tensors, folder / "ae.pt")
    return folder


def sparsified(folder: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Path:
    """The two files of sparsify."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"activation": "topk", "expansion_factor": 32, "normalize_decoder": True, "num_latents": N, "k": 5}
    written |= {"multi_topk": False, "skip_connection": False, "transcode": False, "d_in": WIDTH, **config}
    (folder / "cfg.json").write_text(json.dumps(written))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae.safetensors")
    return folder


def linear(of: dict[str, torch.Tensor], bias: str) -> dict[str, torch.Tensor]:
    """Weights as ``nn.Linear`` keeps them, b_dec under another name."""
    turned = {
        "encoder.weight": of["W_enc"].T.clone(),
        "encoder.bias": of["b_enc"],
        "decoder.weight": of["W_dec"].T.clone(),
    }
    return turned | {bias: of["b_dec"]}
