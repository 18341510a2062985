"""What the list of features is searched and sorted by: the job's table of features, and labels where there are some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mech_music.base.errors import UserError, first_line
from mech_music.report.payload import short
from mech_music.saes.catalogue import Catalogue, FeatureSet

FEATURES, LABELS = "features.csv", "labels.csv"
_PLACE = ["layer", "hook", "feature"]
_LABEL_COLUMNS = ("hook", "feature", "labeller", "label")
_TOLD = (
    "labeller", "label", "confidence", "description", "score", "score_low", "score_high", "control", "n_clips",
)  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """One SAE's features as the list has them. ``table``: a line each, by number, with whatever columns the job's table
    has; ``labels``: by feature, the best first; ``rank``: features in the order of score, dead ones last."""

    table: pd.DataFrame
    labels: Mapping[int, list[dict[str, Any]]]
    rank: np.ndarray
    dead: np.ndarray


def read_table(folder: Path) -> pd.DataFrame:
    """The job's table of features; empty where there is none. UserError for one that cannot be read."""
    return _read(folder / FEATURES, ("hook", "feature"))


def read_labels(folder: Path) -> pd.DataFrame:
    """Labels of features, one a line; empty where there are none. UserError for a file that holds something else."""
    return _read(folder / LABELS, _LABEL_COLUMNS)


def _read(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame(columns=pd.Index(needed))
    try:
        found = pd.read_csv(path, keep_default_na=True)
        found["feature"] = found["feature"].astype(int) if "feature" in found else found["feature"]
    except (ValueError, KeyError, OSError, pd.errors.ParserError) as error:
        raise UserError(
            f"'{path}' is no table of features ({first_line(error)}): write it again, or delete it"
        ) from None
    if lacking := [name for name in needed if name not in found]:
        raise UserError(f"'{path}' has no column {lacking[0]}: expected {', '.join(needed)}")
    return found


def listed(of: FeatureSet, catalogue: Catalogue, table: pd.DataFrame, labels: pd.DataFrame) -> Listed:
    """A line for each feature of the SAE, also for those that the tables leave out."""
    own = cast(pd.DataFrame, table[table["hook"] == of.hook]).drop_duplicates("feature").set_index("feature")
    own = own.drop(columns=[name for name in _PLACE if name in own]).reindex(range(of.n_features))
    dead = ~(of.largest > 0)
    by_feature = _labels(cast(pd.DataFrame, labels[labels["hook"] == of.hook]))
    told = np.full(of.n_features, np.nan)
    for feature, lines in by_feature.items():
        if feature < of.n_features and lines[0].get("score") is not None:
            told[feature] = lines[0]["score"]
    score = own[catalogue.score].to_numpy(float) if catalogue.score in own else np.full(of.n_features, np.nan)
    rank = np.lexsort((np.arange(of.n_features), *(-np.nan_to_num(x, nan=-np.inf) for x in (score, told)), dead))
    return Listed(own, by_feature, rank, dead)


def _labels(lines: pd.DataFrame) -> dict[int, list[dict[str, Any]]]:
    """By feature, the one of the highest score first, those without one by confidence."""
    found: dict[int, list[dict[str, Any]]] = {}
    there = [name for name in _TOLD if name in lines]
    for line in cast(pd.DataFrame, lines[["feature", *there]]).to_dict("records"):
        told = {str(name): _value(value) for name, value in line.items() if name != "feature"}
        found.setdefault(int(line["feature"]), []).append(told)
    for some in found.values():
        some.sort(key=lambda told: [-_number(told.get(name)) for name in ("score", "confidence")])
    return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else -np.inf


def _value(value: Any) -> Any:
    """For JSON: five digits, None for what is not there."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return short(value)


def columns(of: Listed) -> dict[str, dict[str, Any]]:
    """The table column by column: ``{"kind": "number" | "flag", "values"}``, or words as places in ``words``; empty
    ones are left out."""
    found = {str(name): _column(cast(pd.Series, of.table[name])) for name in of.table}
    return {name: column for name, column in found.items() if column is not None}


def _column(values: pd.Series) -> dict[str, Any] | None:
    present = values.dropna()
    if present.empty:
        return None
    if all(isinstance(value, bool | np.bool_) for value in present):
        return {"kind": "flag", "values": [None if pd.isna(value) else int(value) for value in values]}
    if pd.api.types.is_numeric_dtype(values):
        whole = bool((present == present.round()).all()) and not ((present >= 0) & (present <= 1)).all()
        return {"kind": "number", "whole": whole, "values": [_value(value) for value in values.tolist()]}
    places, words = pd.factorize(values.astype("string"))
    return {"kind": "word", "values": places.tolist(), "words": [str(word) for word in words]}
