"""Given tokens that generations continue: the prefixes of a pass's rows, as the model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mech_music.base.errors import UserError
from mech_music.edits.excerpt import Excerpt
from mech_music.edits.row import Prefix, Row

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from mech_music.models.protocol import Generator


def given_tokens(rows: Sequence[Row], model: Generator, n_frames: int) -> Int[Tensor, "row codebook given"] | None:
    """The rows' prefixes, −1 where a row's is shorter or it has none; None if no row has any.

    UserError for a prefix that the model cannot continue to a clip of ``n_frames`` frames.
    """
    import torch

    given = {place: row.prefix for place, row in enumerate(rows) if row.prefix is not None}
    if not given:
        return None
    each: dict[int, Tensor] = {}
    for place, prefix in given.items():
        if isinstance(prefix, Excerpt):
            each[place] = prefix.tokens(model, n_frames)
        else:
            check_prefix(prefix, model, n_frames)
            each[place] = torch.tensor(prefix.tokens)
    longest = max(one.shape[-1] for one in each.values())
    tokens = torch.full((len(rows), model.n_codebooks, longest), -1, dtype=torch.long, device=model.device)
    for place, one in each.items():
        tokens[place, :, : one.shape[-1]] = one
    return tokens


def check_prefix(prefix: Prefix, model: Generator, n_frames: int) -> None:
    """UserError for another number of codebooks, tokens that the model does not have, and no frame left to generate."""
    if len(prefix.tokens) != model.n_codebooks:
        raise UserError(f"prefix has {len(prefix.tokens)} codebooks, but this model has {model.n_codebooks}")
    if prefix.n_frames >= n_frames:
        raise UserError(
            f"prefix has {prefix.n_frames} frames, but the whole clip has {n_frames}: shorten the prefix, or raise "
            "duration"
        )
    wrong = [token for codebook in prefix.tokens for token in codebook if not 0 <= token < model.card]
    if wrong:
        raise UserError(f"prefix has token {wrong[0]}, but this model has tokens 0 to {model.card - 1}")
