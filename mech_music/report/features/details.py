"""A feature's own page as data: its moments, when and for which words it fires, its neighbours, its direct effect."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from mech_music.report.features.table import Listed
from mech_music.saes.catalogue import FeatureSet

CHUNK = 64  # features of one file


def page_of(of: FeatureSet, listed: Listed, feature: int, steered: Mapping[int, Any]) -> dict[str, Any]:
    """Of one feature. Curves are bytes from 0 to 255, in base64, of the greatest value that stands beside them."""
    readout = of.readout
    return {
        "labels": listed.labels.get(feature, []),
        "moments": _moments(of, feature),
        "steps": _curve(of.by_step[:, feature]),
        "words": _rounded(of.by_word[:, :, feature]),
        "nearest": readout["nearest"][feature].tolist(),
        "cosine": _rounded(readout["cosine"][feature]),
        "tokens": readout["token"][feature].tolist(),
        "effect": _rounded(readout["effect"][feature]),
        "steered": steered.get(feature),
    }


def _moments(of: FeatureSet, feature: int) -> list[dict[str, Any]]:
    """The clips that it has, all on the scale of the greatest of their peaks."""
    traces = of.trace[feature].astype(np.float32)
    places = [place for place, clip in enumerate(of.clip[feature]) if clip >= 0]
    most = float(traces[places].max()) if places else 0.0
    found = []
    for place in places:
        trace = traces[place]
        told = {"clip": int(of.clip[feature, place]), "kind": of.kinds[place]}
        peak = {"peak": _figure(trace.max()), "step": int(trace.argmax()), "share": _figure((trace > 0).mean())}
        found.append(told | peak | {"trace": _curve(trace, most)})
    return found


def _curve(values: np.ndarray, most: float | None = None) -> dict[str, Any]:
    """What does not become 0 by rounding stays above it: a feature that fires is seen to."""
    most = float(values.max(initial=0.0)) if most is None else most
    scaled = np.ceil(values / most * 255) if most > 0 else np.zeros(len(values))
    return {"most": _figure(most), "bytes": base64.b64encode(scaled.clip(0, 255).astype(np.uint8).tobytes()).decode()}


def _rounded(values: np.ndarray) -> Any:
    """Nested lists of four digits; None for NaN."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [_figure(value) for value in values.tolist()]


def _figure(value: float) -> float | None:
    return None if value != value else float(f"{value:.4g}")
