"""Which keys a dashboard names, read from the specs that it writes; and which keys runs logged, from their records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.wandb_records import finished


@dataclass
class Keys:
    """``history``: logged at every layer. ``summary``: one value a run. ``media``: sounds, images, tables."""

    history: set[str] = field(default_factory=set)
    summary: set[str] = field(default_factory=set)
    media: set[str] = field(default_factory=set)
    config: set[str] = field(default_factory=set)

    def missing(self, logged: Keys) -> list[str]:
        """What is named here and not logged there."""
        return sorted(
            (self.history - logged.history)
            | (self.summary - logged.summary)
            | (self.media - logged.media)
            | (self.config - logged.config)
        )


def named(folder: Path) -> Keys:
    """The keys in ``workspace.json`` and ``report.json``."""
    keys = Keys()
    for name in ("workspace.json", "report.json"):
        for thing in _things(json.loads((folder / name).read_text())):
            _take(thing, keys)
    return keys


def panels(folder: Path, name: str) -> list[tuple[str, str]]:
    """Type and title of every panel of a spec, in order."""
    found = _things(json.loads((folder / name).read_text()))
    return [(thing["viewType"], thing["config"].get("chartTitle", "")) for thing in found if "viewType" in thing]


def logged(folder: Path) -> Keys:
    """The keys of every W&B run below a folder."""
    keys = Keys()
    for place in folder.rglob("offline-run-*"):
        run = finished(place)
        by_layer = [line for line in run.history if "layer" in line]
        keys.history |= {key for line in by_layer for key in line}
        keys.summary |= set(run.summary)
        keys.media |= {key.rpartition("/")[0] for line in run.history if "layer" not in line for key in line}
        keys.config |= set(_paths(run.config))
    return keys


def _paths(config: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield before + key
        if isinstance(value, Mapping):
            yield from _paths(value, f"{before}{key}.")


def _things(spec: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    parts: Iterable[Any] = spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else ()
    if isinstance(spec, dict):
        yield spec
    for part in parts:
        yield from _things(part)


def _take(thing: Mapping[str, Any], keys: Keys) -> None:
    config = thing.get("config", {})
    match thing.get("viewType"):
        case "Run History Line Plot":
            keys.history |= {config["xAxis"], *config["metrics"]}
        case "Bar Chart":
            keys.summary |= set(config["metrics"])
        case "Scatter Plot":
            for axis in (config["xAxis"], config["yAxis"]):
                _take_column(axis, keys)
        case "Media Browser":
            keys.media |= set(config["mediaKeys"])
        case "Weave":
            keys.media |= {one["val"] for one in _things(config) if one.get("nodeType") == "const" and "val" in one}
    if thing.get("section") == "config" and "name" in thing:
        keys.config.add(thing["name"].replace(".value", ""))
    for column in thing.get("columnPinned", {}):
        _take_column(column, keys)


def _take_column(column: str, keys: Keys) -> None:
    kind, _, name = column.partition(":")
    if kind == "config":
        keys.config.add(name.replace(".value", ""))
    elif kind == "summary":
        keys.summary.add(name)
    else:
        assert column == "run:displayName"
