"""What heads write to the residual stream, what of it reaches the logits directly, and whether it copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from torch import Tensor

from mech_music.models.hooks import Hook
from mech_music.models.protocol import MIN_PASS, Generator
from mech_music.models.unembedding import Unembedding
from mech_music.structure.causes.looking import mean_over
from mech_music.structure.causes.places import Steps, returns_of
from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind


def output_maps(generator: Generator) -> list[Float[Tensor, "head d_head d_model"]]:
    """W_O of every layer's self-attention, by head: what each number of z adds to the stream.

    Read off the model itself: unit vectors are put at z, one at each step of each row, and what attention then gives is
    seen (less what it gives for zero), so that it holds for any generator with these hooks.
    """
    width, rows = generator.d_model, MIN_PASS
    n_steps = -(-width // rows) + 1
    basis = torch.zeros(n_steps * rows, width, dtype=generator.dtype, device=generator.device)
    basis[:width] = torch.eye(width, dtype=generator.dtype, device=generator.device)
    seen: list[list[Tensor]] = [[] for _ in range(generator.n_layers)]

    def visit(hook: Hook, step: int, value: Tensor) -> Tensor | None:
        if step >= n_steps:
            return None
        if hook.point == "attn.z":
            units = basis[step * rows : (step + 1) * rows]
            return units.repeat(generator.halves, 1)[:, None].to(value.dtype)
        seen[hook.layer].append(value[:rows, 0].float().clone())
        return None

    points = [Hook(layer, point) for layer in range(generator.n_layers) for point in ("attn.z", "attn_out")]
    duration = (n_steps + 0.5) / generator.frame_rate  # half a frame more, so that rounding takes none away
    generator.visit([generator.probe_prompt] * rows, points, visit, duration=duration)
    found = [torch.cat(values) for values in seen]
    return [(one[:width] - one[-1]).unflatten(0, (generator.n_heads, -1)) for one in found]


@torch.no_grad()
def direct_effect(
    unembed: Unembedding,
    stream: Float[Tensor, "row d_model"],
    z: Float[Tensor, "layer row head d_head"],
    maps: Float[Tensor, "layer head d_head d_model"],
    tokens: Int[Tensor, "row codebook token"],
) -> Float[Tensor, "token layer head row codebook"]:
    """What each head adds to logits by itself: those of the last stream, less those without what the head wrote.

    (Direct logit attribution; the final norm is computed anew for the stream without it, not kept.) Relative to the
    mean over all tokens of the codebook, which no distribution depends on.
    """
    written = torch.einsum("lrhd,lhdm->lhrm", z.float(), maps)
    whole = _chosen(unembed(stream), tokens)
    parts: Sequence[Tensor] = [_chosen(unembed(stream - own), tokens) for own in written.flatten(0, 1)]
    effects = (whole - torch.stack(parts)).unflatten(0, z.shape[:1] + z.shape[2:3])
    return effects.movedim(-1, 0)


def _chosen(
    logits: Float[Tensor, "row codebook card"], tokens: Int[Tensor, "row codebook token"]
) -> Float[Tensor, "row codebook token"]:
    return logits.gather(-1, tokens) - logits.mean(-1, keepdim=True)


class Copying:
    """What heads add to the logits of the source's tokens, above those of tokens from elsewhere in the source.

    The others are the source's own of half a section later, so that both are as frequent; where the two are the same,
    and where nothing returns as it was, nothing is counted.
    """

    def __init__(self, pieces: Sequence[AnnotatedPiece], steps: Steps, unembed: Unembedding, maps: Tensor) -> None:
        self._maps, self._unembed = maps, unembed
        pairs = [copied_tokens(piece, steps) for piece in pieces]
        self._tokens = torch.from_numpy(np.stack([tokens for tokens, _ in pairs]))
        self._counted = torch.from_numpy(np.stack([counted for _, counted in pairs]))
        rows, layers, heads = len(pieces), maps.shape[0], maps.shape[1]
        self._sums = torch.zeros(rows, layers, heads)

    def see(
        self, step: int, stream: Float[Tensor, "row d_model"], z: Sequence[Float[Tensor, "row head d_head"]]
    ) -> None:
        """A step's last stream, and what every layer's heads gave at it."""
        own = self._counted[:, step].any(1)
        if not own.any():
            return
        tokens = self._tokens[own, step].to(stream.device)
        effects = direct_effect(self._unembed, stream[own.to(stream.device)].float(), torch.stack([*z])[:, own],
                                self._maps, tokens).cpu()  # fmt: skip
        weight = self._counted[own, step].float()
        self._sums[own] += torch.einsum("lhrc,rc->rlh", effects[0] - effects[1], weight)

    def tensors(self) -> dict[str, Float32[np.ndarray, "row layer head"]]:
        """In logits (nats), a mean over tokens."""
        return {"copying": mean_over(self._sums.numpy()[..., None], self._counted.sum((1, 2)).numpy())[..., 0]}


def copied_tokens(
    piece: AnnotatedPiece, steps: Steps
) -> tuple[Int64[np.ndarray, "step codebook 2"], Bool[np.ndarray, "step codebook"]]:
    """The source's token that a step draws if it copies, and one of half a section later; where they are compared."""
    tokens = np.zeros((steps.n_steps, len(steps.first), 2), np.int64)
    counted = np.zeros(tokens.shape[:2], bool)
    for number in returns_of(piece):
        section = piece.sections[number]
        if section.kind is Kind.transposed or section.source is None:
            continue
        source = piece.sections[section.source]
        length = min(len(section.proper), source.end - source.start)
        for offset, other in ((at, (at + length // 2) % length) for at in range(length)):
            frame = section.start + offset
            for codebook, first in enumerate(steps.first):
                pair = piece.codes[codebook, [source.start + offset, source.start + other]]
                tokens[frame + first, codebook], counted[frame + first, codebook] = pair, pair[0] != pair[1]
    return tokens, counted
