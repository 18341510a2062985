"""The lines of held-out clips: what is left unexplained, and what becomes of the model's distributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mech_music.saes.named import numbered
from mech_music.tasks.sae.site import Site

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers


def clip_lines(site: Site, answers: Answers) -> Iterator[dict[str, Any]]:
    """What the dictionaries leave unexplained, and what replacements do."""
    held = site.clips[1]
    numbers = numbered(held.units)
    harm = answers.records[site.spliced]
    explained = {"sae": answers.records[site.firings[1]], "random": answers.records[site.random_firing]}
    for place, row in enumerate(held.rows):
        index, repeat = numbers[place]
        line = {"measured": "clips", "index": index, "repeat": repeat, "prompt": row.prompt}
        for role in ("sae", "random", "mean", "zero"):
            found = _explained(explained[role], place) if role in explained else {}
            found |= _harmed(harm, role, place) if f"kl_{role}" in harm and place < len(harm["kl_sae"]) else {}
            if found:
                failed = not np.isfinite(explained["sae"]["l0"][place])
                yield line | {"role": role, "failed": failed} | found


def _explained(record: Mapping[str, np.ndarray], place: int) -> dict[str, float]:
    """A clip's own share: their mean is the FVU of all clips."""
    share = record["error"][place] / np.nanmean(record["variance"], axis=0)
    found = {"fvu": float(share[0]), "l0": float(record["l0"][place])}
    found["dead"] = float((record["largest"] <= 0).mean())
    return found | ({"fvu_uncond": float(share[1])} if len(share) > 1 else {})


def _harmed(record: Mapping[str, np.ndarray], role: str, place: int) -> dict[str, float]:
    kl = record[f"kl_{role}"][place]
    against = {way: 1 - kl / np.nanmean(record[f"kl_{way}"], axis=0) for way in ("mean", "zero")}
    found = {"kl": float(kl[0]), "recovered": float(against["mean"][0]), "recovered_zero": float(against["zero"][0])}
    found["agreement"] = float(record[f"agreement_{role}"][place][0])
    return found | ({"recovered_uncond": float(against["mean"][1])} if len(kl) > 1 else {})
