"""One page that holds everything: text, charts, numbers, sounds. It needs no network and no other file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.report.clips import Heard, hear
from mech_music.report.default import view_of
from mech_music.report.found import Found
from mech_music.report.paths import portable, portable_command
from mech_music.report.payload import as_json, payload, strongest_blocks
from mech_music.report.provenance import fingerprints, versions
from mech_music.report.view import View

LIMIT = 20_000_000
_SPARE = 300_000  # of text around the data, bytes
FEATURES = Path("features/index.html")  # the browser of a job's features, in its folder
_NO_CLIPS = Heard(notes=["This page was made without clips (audio=0)."])
_PARTS = files("mech_music.report") / "parts"
_BEFORE, _AFTER = (
    ("dom.js", "base.js", "address.js", "heat.js", "player.js", "listen.js", "charts.js", "curves.js"),
    ("page.js",),
)


@dataclass(frozen=True)
class Page:
    """The page's HTML, and how many clips it carries."""

    html: str
    clips: int


def build(found: Found, audio: bool = True, place: Path | None = None) -> Page:
    """The page of what was found. ``audio``: with clips, which may load the model to remake sounds from tokens.
    ``place``: the folder that it will lie in, if not the results' own.

    UserError if there are so many numbers that the page would be larger than `LIMIT`.
    """
    view = view_of(found.schema)
    effects = view.beside(found.summary)
    view = view.fitted(effects)
    effects, left_out = strongest_blocks(view, effects)
    if effects.empty:
        raise UserError(f"nothing to show in '{found.folder}': its table holds controls only")
    fixed = _fixed_parts(view)
    more = {"more": view.data(found)} if view.data else {}
    numbers = as_json(payload(view, effects, found.summary, Heard()) | more)
    room = LIMIT - _SPARE - sum(map(_size, (*fixed.values(), numbers)))
    if room < 0:
        raise UserError(f"'{found.folder}' has too many numbers for one page: make one of a single job's folder")
    heard = hear(view, effects, found.jobs, room) if audio or view.clips is None else _NO_CLIPS
    html = template("page.html.jinja").render(
        **fixed,
        view=view,
        title=view.title(found),
        question=view.question(found),
        methods=view.methods(found),
        verdict=view.verdict(found) if view.verdict else [],
        found=found,
        browsers=_browsers(found, place or found.folder),
        failures=[(failure.folder.name, portable(failure.reason, found.folder)) for failure in found.failures],
        notes=[portable(note, found.folder) for note in [*filter(None, [left_out]), *found.missing, *heard.notes]],
        command=portable_command(found.command, found.folder) if found.command else "",
        fingerprints=[(name, portable(value, found.folder)) for name, value in fingerprints(found)],
        checked=bool(heard.samples) and not heard.notes,
        versions=versions(),
        config=portable(_config(found), found.folder),
        data=Markup(as_json(payload(view, effects, found.summary, heard) | more)),
        sounds=Markup(as_json(heard.sounds)),
    )
    return Page(html, len(heard.sounds))


def write(page: Page, path: Path) -> None:
    """Write the page, atomically. UserError if that cannot be done."""
    with replacing(path) as partial:
        partial.write_text(page.html, encoding="utf-8")


def _fixed_parts(view: View) -> Mapping[str, Markup]:
    """The scripts and the style that every page of the task carries."""
    from plotly.offline import get_plotlyjs

    scripts = [*map(part, _BEFORE), view.script, *map(part, _AFTER)]
    parts = {"style": part("page.css"), "scripts": "\n".join(scripts), "plotly": get_plotlyjs()}
    return {name: Markup(text) for name, text in parts.items()}


def part(name: str) -> str:
    """One of the files that pages are made of."""
    return (_PARTS / name).read_text(encoding="utf-8")


def template(name: str) -> Template:
    """One that may include others; whatever is put into it is escaped."""
    loader = FunctionLoader(part)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template(name)


def _browsers(found: Found, place: Path) -> list[tuple[str, str]]:
    """The browsers of jobs' features, by the jobs' names: addresses from the page's folder."""
    there = [(job.folder.name, job.folder / FEATURES) for job in found.jobs if (job.folder / FEATURES).is_file()]
    return [(name, quote(os.path.relpath(path, place).replace(os.sep, "/"))) for name, path in there]


def _size(text: str) -> int:
    return len(text.encode())


def _config(found: Found) -> str:
    """The first job's whole config, as Hydra wrote it."""
    paths = [job.folder / ".hydra" / "config.yaml" for job in found.jobs]
    return next((path.read_text(encoding="utf-8") for path in paths if path.is_file()), "")
