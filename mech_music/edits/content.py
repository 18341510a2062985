"""What decides a clip, as text: for its key in the store, and to be read back from a file.

A value of a ``stored`` dataclass is written with its kind and those fields that differ from their defaults: a field
that is added later changes nothing for who does not use it. Fields that do not take part in comparison are *content*
(the texts of prompts, the tokens of a prefix) that a digest stands for; a file keeps them once, by that digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_type_hints

Payloads = dict[str, Any]
Kind = TypeVar("Kind", bound=type)
_KINDS: dict[str, type] = {}
_TEXT = "_canonical"  # where a value keeps its text


def stored(kind: Kind) -> Kind:
    """Mark a frozen dataclass as one that rows are made of: it can be written and read back.

    A class variable ``made`` (1 without) is part of every key that it is in: raise it where what is made of it changes.
    """
    _KINDS[kind.__name__] = kind
    if not hasattr(kind, "__slots__"):
        # That of a dataclass goes through all that is in it, every time.
        kind.__hash__ = _hash  # pyright: ignore[reportAttributeAccessIssue]
    return kind


def _hash(value: Any) -> int:
    return hash(canonical(value))


def content_digest(content: Any) -> str:
    """16 bytes of SHA-256 over JSON, as hex digits."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:32]


def canonical(value: Any) -> str:
    """One text for equal values, another for unequal ones: what `to_json` gives, keys in order, without spaces.

    Kept with a value that can keep it, so that many rows which share an edit write it once; what has slots is a single
    row's own.
    """
    kind = type(value)
    if kind is tuple or kind is list:
        return f"[{','.join([canonical(item) for item in value])}]"
    if value is None:
        return "null"
    if _KINDS.get(kind.__name__) is not kind:
        value = value.value if isinstance(value, Enum) else value
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    kept = getattr(value, "__dict__", {})
    if (text := kept.get(_TEXT)) is None:
        told = {"kind": f'"{kind.__name__}"', **({"made": str(made)} if (made := _made(kind)) > 1 else {})}
        told |= {name: canonical(part) for name, part in _told(value)}
        text = kept[_TEXT] = "{" + ",".join([f'"{name}":{told[name]}' for name in sorted(told)]) + "}"
    return text


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
    told = {name: to_json(part, payloads) for name, part in _told(value)}
    made = _made(type(value))
    return {"kind": type(value).__name__, **told, **({"made": made} if made > 1 else {})}


def _made(kind: type) -> int:
    return getattr(kind, "made", 1)


@dataclass(frozen=True)
class _Part:
    name: str
    default: Any
    a_float: bool


@cache
def _parts(kind: type) -> tuple[_Part, ...]:
    """The fields that take part in comparison."""
    return tuple(_Part(f.name, f.default, f.type in (float, "float")) for f in fields(kind) if f.compare)


def _told(value: Any) -> list[tuple[str, Any]]:
    """The fields that differ from their defaults, with what they have; 1 for a float is 1.0, to which it is equal."""
    there = [(part, getattr(value, part.name)) for part in _parts(type(value))]
    return [
        (part.name, float(own) if part.a_float and type(own) is int else own)
        for part, own in there
        if part.default is MISSING or own != part.default
    ]


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
