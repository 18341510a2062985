"""The tuned lens: for each point of the residual stream, an affine map to the final one, trained on the model itself.

Belrose, Furman, Smith, Halawi, Ostrovsky, McKinney, Biderman, Steinhardt, "Eliciting Latent Predictions from
Transformers with the Tuned Lens" (2023), on MusicGen: the loss is KL(final ‖ lens), averaged over both guidance halves
and all codebooks, along clips that the model generated itself. Nothing else is trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from mech_music.base.workers import Advance
from mech_music.edits.row import Fit, Row
from mech_music.lenses.readout import Translation
from mech_music.models.hooks import Hook
from mech_music.models.unembedding import Unembedding

_SEED = 2_000_003  # of the clips: those of a study's prompts have other noise
_BATCH = 256  # positions, of both halves
_RATE = 0.045  # of Adam, times d_model^-1/2
_RIDGE = 1e-3  # of the mean squared activation, for the map that training begins with


def clips_of(fit: Fit) -> tuple[list[Row], list[Row]]:
    """The clips to train on and those held out: other prompts, and other noise. Few prompts are used again."""
    prompts = fit.prompts.texts
    order = np.random.default_rng([fit.seed, _SEED]).permutation(len(prompts))
    held_out, rest = order[: fit.n_held_out], order[fit.n_held_out :]
    seed = _SEED + fit.seed
    train = [Row(prompts[int(rest[i % len(rest)])], seed + 1 + i // len(rest)) for i in range(fit.n_clips)]
    return train, [Row(prompts[int(i)], seed) for i in held_out]


class StreamRecorder:
    """Keeps the residual streams of clips at some steps, drawn for each clip."""

    def __init__(self, hooks: Sequence[Hook], n_clips: int, n_steps: int, kept: int, seed: int) -> None:
        self.hooks, self._streams = tuple(hooks), {hook: [] for hook in hooks}
        kept = min(kept or n_steps, n_steps)
        draw = np.random.default_rng(seed)
        self.steps = torch.from_numpy(
            np.sort(np.stack([draw.permutation(n_steps)[:kept] for _ in range(n_clips)]), axis=1)
        )
        self._first = 0

    def begin_pass(self, n_rows: int) -> None:
        """The next ``n_rows`` clips are generated from here on."""
        self._now = self.steps[self._first : self._first + n_rows]
        self._first += n_rows
        for seen in self._streams.values():
            seen.append([])

    def see(self, hook: Hook, step: int, value: Float[Tensor, "row half 1 d_model"]) -> None:
        """Keep what is drawn of the rows of a pass at one step."""
        rows = (self._now == step).any(dim=1).nonzero()[:, 0].to(value.device)
        if len(rows):
            self._streams[hook][-1].append((rows.cpu(), value[rows, :, 0].transpose(0, 1).float().cpu()))

    def streams(self, hook: Hook) -> Float32[Tensor, "clip step half d_model"]:
        """What was kept, clip by clip, steps in order."""
        return torch.cat([_by_clip(seen) for seen in self._streams[hook]])


def _by_clip(seen: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    rows = torch.cat([rows for rows, _ in seen])
    values = torch.cat([values for _, values in seen], dim=1)
    order = rows.argsort(stable=True)
    return values[:, order].unflatten(1, (int(rows.max()) + 1, -1)).permute(1, 2, 0, 3)


def divergence(
    final: Float[Tensor, "position codebook card"],
    read: Float[Tensor, "position codebook card"],
    valid: Bool[Tensor, "position codebook"],
) -> Float[Tensor, " position"]:
    """KL(final ‖ read) in nats from logits, averaged over the codebooks that are sampled at each position."""
    target, found = final.log_softmax(-1), read.log_softmax(-1)
    nats = (target.exp() * (target - found)).sum(-1)
    return (nats * valid).sum(-1) / valid.sum(-1).clamp(min=1)


def train(
    streams: Float32[Tensor, "position half d_model"],
    final: Float32[Tensor, "position half d_model"],
    valid: Bool[Tensor, "position codebook"],
    unembed: Unembedding,
    epochs: int,
    seed: int,
    advance: Advance,
) -> Translation:
    """The map that brings streams nearest to the final distribution: from least squares, by Adam. Reproducible."""
    first = _least_squares(streams.flatten(0, 1), final.flatten(0, 1))
    weight, bias = (x.to(unembed.device).requires_grad_(True) for x in first)
    translation = Translation(weight, bias)
    generator = torch.Generator().manual_seed(seed)
    n_batches, rate = -(-len(streams) // _BATCH), _RATE * len(bias) ** -0.5
    optimizer = torch.optim.Adam([weight, bias], lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * n_batches + 1)
    for _ in range(epochs):
        for batch in torch.randperm(len(streams), generator=generator).split(_BATCH):
            here, there = (x[batch].to(unembed.device) for x in (streams, final))
            with torch.no_grad():
                target = unembed(there)
            optimizer.zero_grad()
            both = valid[batch, None].to(unembed.device).expand(-1, 2, -1)
            divergence(target, unembed(translation(here)), both).mean().backward()
            optimizer.step()
            schedule.step()
        advance(1 / epochs)
    return Translation(weight.detach().cpu(), bias.detach().cpu())


def _least_squares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression of ``y − x`` on ``x``."""
    residual, mean_x, mean_y = y - x, x.mean(0), (y - x).mean(0)
    centred = (x - mean_x).double()
    gram = centred.T @ centred
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    weight = torch.linalg.solve(gram, centred.T @ (residual - mean_y).double()).T.float()
    return weight.contiguous(), mean_y - weight @ mean_x


@torch.no_grad()
def measure(
    streams: Float32[Tensor, "clip step half d_model"],
    final: Float32[Tensor, "clip step half d_model"],
    valid: Bool[Tensor, "clip step codebook"],
    unembed: Unembedding,
    guidance: float,
    translation: Translation | None,
) -> dict[str, Float32[np.ndarray, " clip"]]:
    """How near a lens comes to the model, for each clip, averaged over its steps, halves and codebooks.

    ``kl``: KL(final ‖ lens), nats; ``kl_guided``: the same of the guided distributions that tokens are sampled from;
    ``agreement``: share of codebooks whose most probable token, after guidance, is the same.
    """
    found: dict[str, list[Tensor]] = {"kl": [], "kl_guided": [], "agreement": []}
    for clip, end, mask in zip(streams, final, valid, strict=True):
        clip, end, mask = (x.to(unembed.device) for x in (clip, end, mask))
        sampled = mask.any(-1)
        here = (clip if translation is None else translation(clip))[sampled]
        there, mask = end[sampled], mask[sampled]
        found["kl"].append(divergence(unembed(there), unembed(here), mask[:, None].expand(-1, 2, -1)).mean())
        wanted, read = (unembed.guided(x.transpose(0, 1), guidance) for x in (there, here))
        found["kl_guided"].append(divergence(wanted, read, mask).mean())
        found["agreement"].append(((wanted.argmax(-1) == read.argmax(-1)) & mask).sum() / mask.sum())
    return {name: torch.stack(values).float().cpu().numpy() for name, values in found.items()}
