"""One page that holds everything: text, charts, numbers, sounds. It needs no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mech_music.atomic import replacing
from mech_music.controls import beside_controls
from mech_music.errors import UserError
from mech_music.report import layers
from mech_music.report.clips import Heard, hear
from mech_music.report.found import Found
from mech_music.report.payload import as_json, payload, strongest_blocks
from mech_music.report.provenance import fingerprints, versions
from mech_music.report.words import methods, question
from mech_music.schema import INTERCHANGE
from mech_music.tables import schema_of

LIMIT = 20_000_000
_WITHOUT_CLIPS = "This page was made without clips (audio=0)."
_SPARE = 300_000  # of text around the data, bytes


@dataclass(frozen=True)
class Page:
    """The page's HTML, and how many clips it carries."""

    html: str
    clips: int


def build(found: Found, audio: bool = True) -> Page:
    """The page of what was found. ``audio``: with clips, which may load the model to remake sounds from tokens.

    UserError if there are so many numbers that the page would be larger than `LIMIT`.
    """
    if schema_of(found.table).task != INTERCHANGE.task:
        return _of_layers(found, audio)
    effects, left_out = strongest_blocks(beside_controls(found.summary))
    if effects.empty:
        raise UserError(f"nothing to show in '{found.folder}': its table holds controls only")
    fixed = _fixed_parts("page.css", "players.js", "cells.js", "charts.js", "page.js") | _plotly()
    numbers = as_json(payload(effects, found.summary, Heard()))
    heard = hear(effects, found.jobs, _room(found, fixed, numbers)) if audio else Heard(notes=[_WITHOUT_CLIPS])
    html = _template("page.html.jinja").render(
        **fixed,
        **_about(found, [*filter(None, [left_out]), *heard.notes], bool(heard.samples) and not heard.notes),
        title=_title(found),
        question=question(found),
        methods=methods(found),
        n_clips=len(heard.sounds),
        data=Markup(as_json(payload(effects, found.summary, heard))),
        sounds=Markup(as_json(heard.sounds)),
    )
    return Page(html, len(heard.sounds))


def _of_layers(found: Found, audio: bool) -> Page:
    """The page of a task that reads layers."""
    fixed = _fixed_parts("page.css", "players.js", "layers.js")
    cells, figures = layers.cells(found), layers.figures(found)
    heads, rows = layers.summary_rows(found.summary)
    room = _room(found, fixed, as_json(cells), *(figure["image"] for figure in figures), *map(str, rows))
    sounds, samples, notes = (
        layers.hear(found, cells, room) if cells and audio else ({}, {}, [_WITHOUT_CLIPS] if cells else [])
    )
    html = _template("layers.html.jinja").render(
        **fixed,
        **_about(found, notes, bool(samples) and not notes),
        title=layers.title(found),
        question=layers.question(found),
        methods=layers.methods(found),
        measures=layers.measures(found),
        figures=figures,
        cells=bool(cells),
        heads=heads,
        rows=rows,
        percent=f"{100 * found.summary['level'].tolist()[0]:g} %",
        data=Markup(as_json(cells | {"samples": samples})),
        sounds=Markup(as_json(sounds)),
    )
    return Page(html, len(sounds))


def _about(found: Found, notes: Sequence[str], checked: bool) -> dict[str, Any]:
    """What every page says of where its numbers are from. ``checked``: its clips are those behind its table."""
    return {
        "found": found,
        "notes": [*found.missing, *notes],
        "fingerprints": fingerprints(found),
        "checked": checked,
        "versions": versions(),
        "config": _config(found),
    }


def _room(found: Found, fixed: Mapping[str, str], *others: str) -> int:
    """Bytes that are left for clips."""
    room = LIMIT - _SPARE - sum(map(_size, (*fixed.values(), *others)))
    if room < 0:
        raise UserError(f"'{found.folder}' has too many numbers for one page: make one of a single job's folder")
    return room


def write(page: Page, path: Path) -> None:
    """Write the page, atomically. UserError if that cannot be done."""
    with replacing(path) as partial:
        partial.write_text(page.html, encoding="utf-8")


def _fixed_parts(*names: str) -> dict[str, Markup]:
    """Scripts and style, by their names in the template."""
    return {name.replace(".", "_"): Markup(_part(name)) for name in names}


def _plotly() -> dict[str, Markup]:
    from plotly.offline import get_plotlyjs

    return {"plotly": Markup(get_plotlyjs())}


def _part(name: str) -> str:
    return files("mech_music.report").joinpath("parts", name).read_text(encoding="utf-8")


def _template(name: str) -> Any:
    loader = PackageLoader("mech_music.report", "parts")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(name)


def _size(text: str) -> int:
    return len(text.encode())


def _title(found: Found) -> str:
    pairs, models = found.pairs, ", ".join(dict.fromkeys(found.table["model"]))
    return f"{' → '.join(pairs[0]) if len(pairs) == 1 else f'{len(pairs)} pairs of concepts'}, model {models}"


def _config(found: Found) -> str:
    """The first job's whole config, as Hydra wrote it."""
    paths = [job.folder / ".hydra" / "config.yaml" for job in found.jobs]
    return next((path.read_text(encoding="utf-8") for path in paths if path.is_file()), "")
