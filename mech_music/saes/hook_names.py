"""What hooks are called elsewhere, as data: patterns of foreign names, and ours for each.

``hook_layers.N`` of the published MusicGen SAEs is taken for the output of layer N. Nothing in their files says so:
how well they explain what is there and at the neighbouring hooks (`mech_music.saes.neighbours`) tells.
"""

from __future__ import annotations

import re

from mech_music.base.errors import UserError
from mech_music.models.hooks import Hook

_POST = r"blocks.\1.hook_resid_post"
_LAYERS = r"(?:(?:model\.)?decoder\.model\.decoder\.|(?:lm\.)?transformer\.|(?:model\.)?decoder\.)?layers\.(\d+)"
FOREIGN: tuple[tuple[str, str], ...] = (
    (r"blocks\.(\d+)\.((?:\w+\.)?)hook_(\w+)", r"blocks.\1.\2hook_\3"),  # TransformerLens, and our own
    (r"hook_layers\.(\d+)", _POST),
    (_LAYERS, _POST),  # modules of audiocraft and of transformers
    (_LAYERS + r"\.self_attn", r"blocks.\1.hook_attn_out"),
    (_LAYERS + r"\.(?:encoder_attn|cross_attention)", r"blocks.\1.hook_cross_attn_out"),
    (_LAYERS + r"\.(?:linear2|fc2)", r"blocks.\1.hook_mlp_out"),
    (r"resid_post_layer_(\d+)", _POST),  # dictionary_learning's scripts
    (r"resid_pre_layer_(\d+)", r"blocks.\1.hook_resid_pre"),
)


def our_hook(name: str) -> str:
    """The hook that a foreign name stands for. UserError for a name that no pattern fits."""
    for pattern, ours in FOREIGN:
        if match := re.fullmatch(pattern, name):
            return Hook.parse(match.expand(ours)).name
    known = ", ".join(("blocks.N.hook_resid_post", "hook_layers.N", "transformer.layers.N", "resid_post_layer_N"))
    raise UserError(f"the SAE's hook '{name}' is not known: expected names such as {known}")


def hook_if_told(name: str) -> str:
    """The same, empty for what is no hook's name."""
    try:
        return our_hook(name)
    except UserError:
        return ""
