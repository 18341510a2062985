"""EleutherAI's sparsify: a folder named after its hook, with ``cfg.json`` and ``sae.safetensors``.

``encoder.weight [feature, width]``, ``encoder.bias``, ``W_dec [feature, width]``, ``b_dec``: TopK of what is positive,
inputs without b_dec. Facts: the package eai-sparsify 1.3.3.
"""

from __future__ import annotations

import json
from pathlib import Path

from mech_music.base.errors import UserError
from mech_music.saes.folder import CONFIG
from mech_music.saes.formats.written import Written, must_be, safe_tensors
from mech_music.saes.hook_names import hook_if_told
from mech_music.saes.sae import About, Activation, Sae

WEIGHTS = "sae.safetensors"


def read(folder: Path) -> Sae:
    """UserError for a transcoder or another activation; other errors for damaged files. Its hook is what the folder is
    called, if that is a hook's name; the model is not told."""
    config = json.loads((folder / CONFIG).read_text())
    if (activation := config.get("activation", "topk")) != "topk":
        raise UserError(f"the SAE in '{folder}' has activation '{activation}': read is topk")
    if kind := next((name for name in ("transcode", "skip_connection") if config.get(name)), None):
        raise UserError(f"'{folder}' holds no autoencoder ({kind} is set): choose one that reads and writes one hook")
    tensors = safe_tensors(folder / WEIGHTS)
    written = Written(
        tensors["encoder.weight"].T,
        tensors["encoder.bias"],
        tensors["W_dec"],
        tensors["b_dec"],
        Activation.topk,
        int(config["k"]),
    )
    hook = hook_if_told(folder.name)
    sae = written.sae(About(hook=hook, written_hook=folder.name if hook else "", trained={"sparsify": config}))
    must_be(config.get("d_in"), sae.width, "d_in")
    must_be(config.get("num_latents") or None, sae.n_features, "num_latents")
    return sae
