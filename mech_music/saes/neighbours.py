"""Whether an SAE belongs to the hook that its file's name is taken for: what it leaves unexplained there and beside it.

A layer counted from 0 or from 1, its input or its output: such mistakes move an SAE by one layer, where it still
explains something. At its own hook it explains the most.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from mech_music.activations.shards import Activations
from mech_music.models.hooks import Hook
from mech_music.saes.sae import Sae

log = logging.getLogger(__name__)
_BOUND = 2.0  # standard errors by which a neighbour has to be better


def neighbours(hook: str, n_layers: int) -> tuple[str, ...]:
    """The same point a layer before and after. Before the first layer's output is its input; an output is the same as
    the input of the next layer, so these two are the inputs as well."""
    own = Hook.parse(hook)
    before = Hook(own.layer - 1, own.point)
    if own.layer == 0:
        before = Hook(0, "resid_pre") if own.point == "resid_post" else None
    after = Hook(own.layer + 1, own.point) if own.layer + 1 < n_layers else None
    return tuple(one.name for one in (before, after) if one is not None)


@torch.no_grad()
def unexplained_at(
    sae: Sae, hooks: tuple[str, ...], n_clips: int, activations: Activations
) -> dict[str, Float[np.ndarray, " clip"]]:
    """By hook: each clip's FVU of the conditional half, over the variance about the mean of all clips, so that their
    mean is the FVU of all. NaN for a clip that failed."""
    sums: dict[str, list[tuple[float, float, torch.Tensor, int]]] = {hook: [] for hook in hooks}
    for chunk in activations:
        for hook in hooks:
            for x in chunk.values[hook][:, :, 0].to(sae.W_dec.device):
                error = float((x - sae(x)).double().square().sum())
                sums[hook].append((error, float(x.double().square().sum()), x.double().sum(0), len(x)))
    found = {}
    for hook, clips in sums.items():
        total = sum(n for *_, n in clips)
        mean = torch.stack([one for *_, one, _ in clips]).sum(0) / total
        variance = sum(squares for _, squares, *_ in clips) - total * float(mean.square().sum())
        share = np.array([error for error, *_ in clips]) * len(clips) / variance
        found[hook] = np.concatenate([share, np.full(n_clips - len(share), np.nan)])
    return found


def hook_table(record: Mapping[str, np.ndarray], hook: str) -> pd.DataFrame:
    """A line for each hook, its own first: FVU, and how much more it is than at its own, with the standard error of
    that difference over clips."""
    own, lines = record[f"fvu {hook}"], []
    for name, values in record.items():
        place, more = name.removeprefix("fvu "), (values - own)[np.isfinite(values)]
        error = float(more.std(ddof=1) / len(more) ** 0.5) if len(more) > 1 else np.nan
        line = {"hook": place, "own": place == hook, "fvu": float(np.nanmean(values)), "clips": len(more)}
        lines.append(line | {"more": float(more.mean()), "standard_error": error})
    return pd.DataFrame(lines).sort_values("own", ascending=False, ignore_index=True)


def write_hook_table(record: Mapping[str, np.ndarray], hook: str, written: str, folder: Path) -> None:
    """``hook.csv``, and a warning if the SAE explains more elsewhere."""
    table = hook_table(record, hook)
    table.to_csv(folder / "hook.csv", index=False, float_format="%.6g")
    warn_if_elsewhere(table, written)


def warn_if_elsewhere(table: pd.DataFrame, written: str) -> str | None:
    """One line, logged, if a neighbour is better by more than chance; ``written``: what the file calls its hook."""
    own, best = table.iloc[0], table.sort_values("more").iloc[0]
    if not best["more"] + _BOUND * best["standard_error"] < 0:
        return None
    line = (
        f"the SAE written for {written or 'no hook'} leaves {own['fvu']:.3f} unexplained at {own['hook']} but "
        f"{best['fvu']:.3f} at {best['hook']} (difference {best['more']:.3f} ± {best['standard_error']:.3f}): it is "
        f"probably of that one; say sae.hook={best['hook']} and its layer"
    )
    log.warning(line)
    return line
