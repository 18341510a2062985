"""What decides a clip, as text: for its key in the store, and to be read back from a file.

A value of a ``stored`` dataclass is written with its kind and those fields that differ from their defaults: a field
that is added later changes nothing for who does not use it. Fields that do not take part in comparison are *content*
(the texts of prompts, the tokens of a prefix) that a digest stands for; a file keeps them once, by that digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any, TypeVar, get_type_hints

Payloads = dict[str, Any]
Kind = TypeVar("Kind", bound=type)
_KINDS: dict[str, type] = {}


def stored(kind: Kind) -> Kind:
    """Mark a frozen dataclass as one that rows are made of: it can be written and read back.

    A class variable ``made`` (1 without) is part of every key that it is in: raise it where what is made of it changes.
    """
    _KINDS[kind.__name__] = kind
    return kind


def content_digest(content: Any) -> str:
    """16 bytes of SHA-256 over JSON, as hex digits."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:32]


def canonical(value: Any) -> str:
    """One text for equal values, another for unequal ones."""
    return json.dumps(to_json(value, {}), sort_keys=True, separators=(",", ":"))


def to_json(value: Any, payloads: Payloads) -> Any:
    """A value as JSON; the contents that digests stand for are added to ``payloads``."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [to_json(item, payloads) for item in value]
    if type(value).__name__ not in _KINDS:
        return value
    if hasattr(value, "payload") and value.digest not in payloads:
        payloads[value.digest] = value.payload()
    there = {part.name: getattr(value, part.name) for part in fields(value) if part.compare}
    told = {part.name: to_json(there[part.name], payloads) for part in _telling(type(value), there)}
    made = getattr(type(value), "made", 1)
    return {"kind": type(value).__name__, **told, **({"made": made} if made > 1 else {})}


def _telling(kind: type, there: Mapping[str, Any]) -> list[Field[Any]]:
    return [part for part in fields(kind) if part.name in there and not _is_default(part, there[part.name])]


def _is_default(part: Field[Any], value: Any) -> bool:
    return part.default is not MISSING and value == part.default


def from_json(written: Any, payloads: Mapping[str, Any]) -> Any:
    """The value that `to_json` wrote. ValueError for a kind that is not known here."""
    if isinstance(written, list):
        return tuple(from_json(item, payloads) for item in written)
    if not isinstance(written, dict):
        return written
    kind = _KINDS.get(written["kind"])
    if kind is None:
        raise ValueError(f"unknown kind '{written['kind']}'; known: {', '.join(sorted(_KINDS))}")
    if hasattr(kind, "from_payload"):
        return kind.from_payload(written["digest"], payloads[written["digest"]])
    hints = get_type_hints(kind)
    told = {name: from_json(part, payloads) for name, part in written.items() if name not in ("kind", "made")}
    return kind(**{name: _typed(hints[name], part) for name, part in told.items()})


def _typed(hint: Callable[[Any], Any] | Any, value: Any) -> Any:
    return hint(value) if isinstance(hint, type) and issubclass(hint, Enum) else value
