"""What hooks are called elsewhere, as data: patterns of foreign names, and ours for each.

``hook_layers.N`` of the published MusicGen SAEs is taken for the output of layer N. Nothing in their files says so: the
reconstruction error (FVU of `mech_music.tasks.sae`) there and at the neighbouring layers is what tells.
"""

from __future__ import annotations

import re

from mech_music.base.errors import UserError
from mech_music.models.hooks import Hook

FOREIGN: tuple[tuple[str, str], ...] = (
    (r"blocks\.(\d+)\.((?:\w+\.)?)hook_(\w+)", r"blocks.\1.\2hook_\3"),  # TransformerLens, and our own
    (r"hook_layers\.(\d+)", r"blocks.\1.hook_resid_post"),
    (r"(?:lm\.)?transformer\.layers\.(\d+)", r"blocks.\1.hook_resid_post"),  # audiocraft's module
    (r"(?:model\.)?decoder\.model\.decoder\.layers\.(\d+)", r"blocks.\1.hook_resid_post"),  # that of transformers
)


def our_hook(name: str) -> str:
    """The hook that a foreign name stands for. UserError for a name that no pattern fits."""
    for pattern, ours in FOREIGN:
        if match := re.fullmatch(pattern, name):
            return Hook.parse(match.expand(ours)).name
    known = ", ".join(("blocks.N.hook_resid_post", "hook_layers.N", "transformer.layers.N"))
    raise UserError(f"the SAE's hook '{name}' is not known: expected names such as {known}")
