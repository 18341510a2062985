"""Features in the layout that Neuronpedia imports: ``v1/MODEL/SOURCE/{features,activations,explanations}``.

Each folder has ``batch-N.jsonl.gz``, a JSON object a line, with the field names of Neuronpedia's exports
(https://docs.neuronpedia.org/api-and-data/exports, and the tables of its open-source web application). It is made for
text, so what stands for a token here is the step of generation; sound is not part of the format. The same input gives
the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.saes.catalogue import FeatureSet

BATCH = 1024  # features of a file
_DIGITS = 5


@dataclass(frozen=True)
class Export:
    """What was written: the source's folder, and how many lines of each kind."""

    folder: Path
    features: int
    activations: int
    explanations: int


def export(of: FeatureSet, labels: pd.DataFrame, model: str, source: str, folder: Path) -> Export:
    """Write one SAE's features, their clips' activations and its labels to ``folder/v1/model/source``.

    labels: lines with ``hook``, ``feature``, ``labeller`` and ``label``. UserError for a name that is no folder's, and
    where the folder cannot be written.
    """
    for what, name in (("model", model), ("source", source)):
        if not re.fullmatch(r"[\w.-]+", name) or name.strip(".") == "":
            raise UserError(f"{what}='{name}': expected letters, digits, '.', '_' and '-', as in an address")
    place, counts = folder / "v1" / model / source, {"features": 0, "activations": 0, "explanations": 0}
    own = cast(pd.DataFrame, labels[labels["hook"] == of.hook]) if len(labels) else labels
    for number, start in enumerate(range(0, of.n_features, BATCH)):
        batch = range(start, min(start + BATCH, of.n_features))
        told = cast(pd.DataFrame, own[own["feature"].isin(list(batch))]) if len(own) else own
        parts = {
            "features": [_feature(of, feature, model, source) for feature in batch],
            "activations": [one for feature in batch for one in _activations(of, feature, model, source)],
            "explanations": list(_explanations(told, model, source)),
        }
        for kind, lines in parts.items():
            counts[kind] += len(lines)
            _write(place / kind / f"batch-{number}.jsonl.gz", lines)
    return Export(place, **counts)


def _feature(of: FeatureSet, feature: int, model: str, source: str) -> dict[str, Any]:
    """Densities are shares of steps in held-out clips; logits those of the direct path, of all codebooks."""
    readout = of.readout
    raised, lowered = _tokens(readout["token"][feature], readout["effect"][feature])
    return {
        "modelId": model,
        "layer": source,
        "index": str(feature),
        "hookName": of.hook,
        "maxActApprox": _number(of.largest[feature]),
        "frac_nonzero": _number(of.by_step[:, feature].mean()),
        "topkCosSimIndices": readout["nearest"][feature].tolist(),
        "topkCosSimValues": _numbers(readout["cosine"][feature]),
        "pos_str": [name for name, _ in raised],
        "pos_values": [value for _, value in raised],
        "neg_str": [name for name, _ in lowered],
        "neg_values": [value for _, value in lowered],
        "hasVector": False,
        "vector": [],
    }


def _tokens(token: np.ndarray, effect: np.ndarray) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """The tokens raised and those lowered most over all codebooks, called ``codebook:token``."""
    places = list(np.ndindex(*token.shape))
    names = [(f"{codebook}:{token[codebook, at]}", _number(float(effect[codebook, at]))) for codebook, at in places]
    ranked = sorted(names, key=lambda one: -one[1])
    n = token.shape[1] // 2
    return ranked[:n], ranked[::-1][:n]


def _activations(of: FeatureSet, feature: int, model: str, source: str) -> Iterator[dict[str, Any]]:
    """A line for each clip: a value for each step, the prompt before them with none."""
    for clip, trace in zip(of.clip[feature], of.trace[feature].astype(np.float32), strict=True):
        if clip < 0:
            continue
        row, values = of.rows[clip], _numbers(trace)
        tokens = [f"{row.prompt} ", *(f"[{step}]" for step in range(len(values)))]
        yield {
            "id": _identity(model, source, feature, row.prompt, row.seed, int(clip)),
            "modelId": model,
            "layer": source,
            "index": str(feature),
            "tokens": tokens,
            "values": [0.0, *values],
            "maxValue": max(values),
            "maxValueTokenIndex": int(trace.argmax()) + 1,
            "minValue": min(0.0, *values),
            "dataIndex": str(int(clip)),
            "dataSource": f"{of.hook}, seed {row.seed}",
        }


def _explanations(labels: pd.DataFrame, model: str, source: str) -> Iterator[dict[str, Any]]:
    """A line for each label; with a description both, as there is no other place for it."""
    for line in labels.to_dict("records"):
        said = [str(line[name]) for name in ("label", "description") if isinstance(line.get(name), str) and line[name]]
        if not said:
            continue
        description = ": ".join(said)
        yield {
            "id": _identity(model, source, int(line["feature"]), description, str(line["labeller"])),
            "modelId": model,
            "layer": source,
            "index": str(int(line["feature"])),
            "description": description,
            "typeName": "mech_music",
            "explanationModelName": str(line["labeller"]),
        }


def read_back(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind in a source's folder, batch by batch."""
    paths = sorted(
        (folder / kind).glob("batch-*.jsonl.gz"), key=lambda path: int(path.name.split("-")[1].split(".")[0])
    )
    return [json.loads(line) for path in paths for line in gzip.decompress(path.read_bytes()).splitlines()]


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    with replacing(path) as partial:
        partial.write_bytes(gzip.compress(text.encode(), compresslevel=6, mtime=0))


def _identity(*deciding: str | int) -> str:
    """25 letters and digits that begin with c, as Neuronpedia's own are; the same for the same line."""
    return f"c{hashlib.sha256(json.dumps(deciding).encode()).hexdigest()[:24]}"


def _number(value: float) -> float:
    return float(f"{float(value):.{_DIGITS}g}") if np.isfinite(value) else 0.0


def _numbers(values: Sequence[float] | np.ndarray) -> list[float]:
    return [_number(value) for value in values]
