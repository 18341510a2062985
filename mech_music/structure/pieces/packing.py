"""Annotated pieces in a recording, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import UInt8

from mech_music.structure.pieces.annotated import AnnotatedPiece, Kind, Section


def packed(pieces: Sequence[AnnotatedPiece]) -> UInt8[np.ndarray, " byte"]:
    """Pieces as JSON, for a record."""
    written: list[dict[str, Any]] = [asdict(piece) | {"codes": piece.codes.tolist()} for piece in pieces]
    return np.frombuffer(json.dumps(written).encode(), np.uint8)


def unpacked(packed: UInt8[np.ndarray, " byte"]) -> list[AnnotatedPiece]:
    """What `packed` was given."""
    return [_piece(written) for written in json.loads(np.asarray(packed, np.uint8).tobytes())]


def _piece(written: dict[str, Any]) -> AnnotatedPiece:
    sections = tuple(Section(**{**one, "kind": Kind(one["kind"])}) for one in written["sections"])
    own = {"sections": sections, "codes": np.array(written["codes"])}
    return AnnotatedPiece(**{**written, **own, "beats": tuple(written["beats"]), "bars": tuple(written["bars"])})
