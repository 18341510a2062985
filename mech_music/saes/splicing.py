"""How much of what a model does is kept when an SAE's reconstruction takes the place of a hook's value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from mech_music.activations.observe import observe
from mech_music.activations.recipes import Making
from mech_music.activations.rows import RowRecorder
from mech_music.edits.row import Row
from mech_music.lenses.tuned import divergence
from mech_music.models.hooks import Hook
from mech_music.saes.named import Corpus, Harvest
from mech_music.saes.progress import progress
from mech_music.saes.sae import Sae

_ROWS = 32  # of a pass, whose last streams are held four times
Replacement = Callable[[Float[Tensor, "half_row position width"]], Tensor]


def replacements(sae: Sae, mean: Float32[Tensor, "half width"], halves: int) -> dict[str, Replacement]:
    """What takes the value's place, by name: the reconstruction, each half's mean, nothing."""

    def to_mean(value: Tensor) -> Tensor:
        each = mean.to(value.device).repeat_interleave(len(value) // halves, 0)
        return each[:, None].expand_as(value).to(value.dtype)

    return {"sae": lambda value: sae(value).to(value.dtype), "mean": to_mean, "zero": torch.zeros_like}


@torch.no_grad()
def spliced_in(
    sae: Sae, hook: str, harvest: Harvest | Corpus, mean: Float32[Tensor, "half width"], making: Making
) -> dict[str, Float32[np.ndarray, "clip half"]]:
    """Along the clips' own tokens, for each replacement: ``kl_…``, KL(unedited ‖ replaced) in nats, mean over steps and
    codebooks; ``agreement_…``: share of steps and codebooks whose most probable token is the unedited one's. NaN for a
    clip that failed.
    """
    passes, rows = making.passes, harvest.rows
    ways = replacements(sae, mean, passes.model.halves)
    names = [f"{what}_{way}" for what in ("kl", "agreement") for way in ways]
    found = {name: np.full((len(rows), passes.model.halves), np.nan, np.float32) for name in names}
    places = {row: place for place, row in enumerate(rows)}
    with progress("spliced in", len(rows), making.quiet) as show:
        for pack in passes.packs(rows, min(_ROWS, making.most)):
            for row, measured in _measured(pack, hook, ways, making).items():
                for name, values in measured.items():
                    found[name][places[row]] = values
            show(len(pack))
    return found


def _measured(
    pack: tuple[Row, ...], hook: str, ways: Mapping[str, Replacement], making: Making
) -> dict[Row, dict[str, np.ndarray]]:
    model, settings = making.passes.model, making.passes.settings
    how = {"sampling": settings.sampling, "duration": settings.duration}
    end, (at,) = Hook(model.n_layers - 1, "resid_post"), model.select_hooks(hook)
    clean = RowRecorder(pack, [end])
    tokens = observe(model, pack, [end], clean.see, **how)
    whole = [row for row, clip in zip(pack, tokens, strict=True) if not (clip < 0).any()]
    forced = tokens.clamp(min=0)
    padded = torch.cat([forced, forced[-1:].expand(max(0, 8 - len(pack)), -1, -1)])
    mask = model.sampled_positions(model.n_frames(settings.duration)).T.to(model.device)
    unembed = model.unembedding(torch.float32)
    found: dict[Row, dict[str, np.ndarray]] = {row: {} for row in whole}
    for way, replace in ways.items():
        recorder = RowRecorder(pack, [end])
        edits = (at,), lambda _hook, _step, value, replace=replace: replace(value)
        observe(model, pack, [end], recorder.see, lambda _rows, edits=edits: edits, **how, forced=padded)
        for row in whole:
            final, read = (unembed(_stacked(one, row, end)) for one in (clean, recorder))
            sampled = mask.any(1)
            kl = [divergence(a[sampled], b[sampled], mask[sampled]).mean() for a, b in zip(final, read, strict=True)]
            same = ((final.argmax(-1) == read.argmax(-1)) & mask).sum((1, 2)) / mask.sum()
            found[row] |= {f"kl_{way}": torch.stack(kl).cpu().numpy(), f"agreement_{way}": same.cpu().numpy()}
    return found


def _stacked(recorder: RowRecorder, row: Row, hook: Hook) -> Float[Tensor, "half step width"]:
    return torch.stack([value[:, 0] for value in recorder.values[row, hook]], dim=1)
