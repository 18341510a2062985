"""The review's page: served, where it saves what is decided; or one file to listen to, which saves nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.report.page import LIMIT, part, template
from mech_music.report.payload import as_json
from mech_music.structure.pieces.labels import State
from mech_music.structure.proposals.proposals import Proposal
from mech_music.structure.review.decisions import Decision
from mech_music.structure.review.excerpts import PLACES, pitches, sound, spectrogram
from mech_music.structure.review.folder import Review

_SCRIPTS = ("dom.js", "player.js", "review.js")
_SERVED = (
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; media-src blob:; connect-src 'self'"
)
_FILE = "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def served_page(review: Review, reviewer: str, decided: Mapping[str, Decision]) -> str:
    """The page of a reviewer. Neither the score of a pair nor what it is proposed as is told: the ear decides."""
    data = {"reviewer": reviewer, "pairs": [_told(review, one) for one in review.queue.values()], "decided": decided}
    return _page(review, _SERVED, data)


def write_export(review: Review, path: Path) -> int:
    """A page with all pairs, their sounds and their states in one file. Returns how many; UserError if that is more
    than a page may hold."""
    states = {one_id: label.state for one_id, label in zip(review.queue, review.labels(), strict=True)}
    told, size = [], 0
    for one in review.queue.values():
        told.append(_told(review, one) | {"media": _media(review, one)})
        size += sum(len(uri) for uri in told[-1]["media"].values())
        if size > LIMIT:
            raise UserError(
                f"{len(review.queue)} pairs are too many for one file: propose fewer (most=…), or serve the page"
            )
    decided = {one_id: state for one_id, state in states.items() if state is not State.unverified}
    with replacing(path) as partial:
        partial.write_text(_page(review, _FILE, {"reviewer": None, "pairs": told, "decided": decided}), "utf-8")
    return len(told)


def media(review: Review, pair: Proposal, which: str, kind: str) -> tuple[str, bytes]:
    """A sound or a picture of one of the places, with its MIME type. KeyError for a kind or a place that is none."""
    recording, place = review.recording(pair), {"first": pair.first, "second": pair.second}[which]
    if kind == "sound":
        return sound(recording, place)
    made = {"spectrogram": lambda: spectrogram(recording, place), "pitches": lambda: pitches(recording, pair, which)}
    return "image/png", made[kind]()


def _media(review: Review, pair: Proposal) -> dict[str, str]:
    found = {}
    for which in PLACES:
        for kind in ("sound", "spectrogram", "pitches"):
            mime, content = media(review, pair, which, kind)
            found[f"{kind}/{which}"] = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return found


def _told(review: Review, pair: Proposal) -> dict[str, Any]:
    of = review.recording(pair)
    return {
        "id": pair.id,
        "recording": of.name,
        "licence": of.licence,
        "source": of.source,
        "first": pair.first,
        "second": pair.second,
        "semitones": pair.semitones,
        "top_hz": of.sample_rate / 2,
    }


def _page(review: Review, policy: str, data: Mapping[str, Any]) -> str:
    return template("review.html.jinja").render(
        policy=f"default-src 'none'; {policy}",
        title=f"Review of {review.folder.resolve().name}",
        style=Markup(part("page.css") + part("review.css")),  # our own files
        data=Markup(as_json(data)),
        scripts=Markup("\n".join(map(part, _SCRIPTS))),
    )
