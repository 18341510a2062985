"""A piece from beginning to end, as a report's page draws it (`timeline.js` beside this)."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mech_music.edits.row import Prefix, Row
from mech_music.structure.pieces.annotated import AnnotatedPiece

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.engine.engine import Answers
    from mech_music.report.found import Found

TIMELINES = "timelines.json"
"""What a task leaves for its page: a list of them."""


def timeline(piece: AnnotatedPiece, run: RunConfig, answers: Answers) -> dict[str, Any]:
    """Its name, its sections in seconds, and its sound."""
    rate = piece.frame_rate
    sections = [
        {"start": one.start / rate, "end": one.end / rate, "kind": one.kind.value, "source": one.source}
        for one in piece.sections
    ]
    told = {"name": piece.name, "regime": piece.regime, "prompt": piece.prompt, "seconds": piece.n_frames / rate}
    return told | {"sections": sections, "sound": _sound(piece, run, answers)}


def _sound(piece: AnnotatedPiece, run: RunConfig, answers: Answers) -> str:
    """The piece as a ``data:`` URI; empty where it does not fill a clip, and its frames are no clock of the sound."""
    from mech_music.report.sound import encoded

    if piece.n_frames != int(run.duration * run.model.frame_rate):
        return ""
    row = Row(piece.prompt, run.seed, prefix=Prefix.of(piece.codes[:, :-1].tolist()))  # one frame has to be generated
    (wave,), rate = answers.sound([row])
    return encoded(wave, rate)


def shown(found: Found) -> list[dict[str, Any]]:
    """What the jobs of a report have left, those with other layers of the same pieces too."""
    paths = [job.folder / TIMELINES for job in found.jobs]
    return [piece for path in paths if path.is_file() for piece in json.loads(path.read_text(encoding="utf-8"))]


def script() -> str:
    """JavaScript that draws sections, for a task's own."""
    return files("mech_music.structure.pieces").joinpath("timeline.js").read_text(encoding="utf-8")
