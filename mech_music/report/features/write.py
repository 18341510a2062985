"""The browser's folder: ``index.html`` and its script, data in files that are read when they are needed, and sounds.

A page that is opened from a disk may not fetch anything; but it may add a script. So each data file is a script that
hands over one piece: ``receive("0/12", …)``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from mech_music.base.atomic import replacing
from mech_music.edits.row import Row
from mech_music.report.features.details import CHUNK, page_of
from mech_music.report.features.media import Media
from mech_music.report.features.table import Listed, columns, listed
from mech_music.report.page import FEATURES, part, template
from mech_music.report.payload import as_json
from mech_music.saes.catalogue import LEVEL, Catalogue, FeatureSet
from mech_music.saes.moments import KINDS

FOLDER, INDEX = FEATURES.parent.name, FEATURES.name
_DATA, _SCRIPT = "data", "browser.js"
_SCRIPTS = ("dom.js", "player.js", "features_data.js", "features_list.js", "features_draw.js", "features_page.js")


@dataclass(frozen=True)
class Browser:
    """What was written. ``size``: of all files, bytes; ``clips``: sounds; ``labels``: features that have one."""

    index: Path
    size: int
    clips: int
    features: int
    labels: int


def write_browser(
    catalogue: Catalogue,
    table: pd.DataFrame,
    labels: pd.DataFrame,
    folder: Path,
    media: Media | None,
    show: Callable[[int], None] = lambda n: None,
) -> Browser:
    """Write the browser to ``folder``; what an earlier one left there goes, its first page last.

    table, labels: of all features, as `mech_music.report.features.table` reads them. media: None for no sound.
    show: told of each feature that is done. UserError if the folder cannot be written.
    """
    (folder / INDEX).unlink(missing_ok=True)  # until all is there, there is none
    shutil.rmtree(folder / _DATA, ignore_errors=True)
    told, n_labels = [], 0
    for number, of in enumerate(catalogue.sets):
        own = listed(of, catalogue, table, labels)
        told.append(_write_set(number, of, catalogue, own, folder, media, show))
        n_labels += len(own.labels)
    if media is not None:
        media.forget_others()
    about = {
        "model": catalogue.model,
        "names": {name: getattr(catalogue, name) for name in ("word", "category", "score", "rate")},
        "kinds": KINDS,
        "level": LEVEL,
        "chunk": CHUNK,
        "sets": told,
    }
    _write_text(folder / _DATA / "about.js", _script("about", about))
    _write_text(folder / _SCRIPT, "\n".join(map(part, _SCRIPTS)))
    style = Markup(part("page.css") + part("features.css"))  # both are our own files
    page = template("features.html.jinja").render(title=f"Features of {catalogue.model}", style=style, script=_SCRIPT)
    _write_text(folder / INDEX, page)
    files = [path for path in folder.rglob("*") if path.is_file()]
    n_features = sum(of.n_features for of in catalogue.sets)
    size, sounds = sum(path.stat().st_size for path in files), len(media.written) // 2 if media else 0
    return Browser(folder / INDEX, size, sounds, n_features, n_labels)


def _write_set(
    number: int,
    of: FeatureSet,
    catalogue: Catalogue,
    own: Listed,
    folder: Path,
    media: Media | None,
    show: Callable[[int], None],
) -> dict[str, Any]:
    """One SAE: its list, its clips, and its features' pages, `CHUNK` in a file. Returns what ``about`` tells of it."""
    place = folder / _DATA / str(number)
    heard = [int(feature) for feature in own.rank[: catalogue.with_sound] if not own.dead[feature]] if media else []
    files, steered = _sounds(of, heard, heard[: catalogue.with_steering], media)
    _write_text(folder / _DATA / f"{number}.js", _script(str(number), _list(of, own, heard, steered)))
    _write_text(place / "clips.js", _script(f"{number}/clips", _clips(of, files)))
    for start in range(0, of.n_features, CHUNK):
        chunk = range(start, min(start + CHUNK, of.n_features))
        pages = [page_of(of, own, feature, steered) for feature in chunk]
        _write_text(place / f"{start // CHUNK}.js", _script(f"{number}/{start // CHUNK}", pages))
        show(len(chunk))
    return {
        "hook": of.hook,
        "layer": of.layer,
        "features": of.n_features,
        "clips": len(of.rows),
        "prompts": of.n_prompts,
        "frames": of.n_frames,
        "frame_rate": of.frame_rate,
        "words": [[word.category, word.text, word.n_prompts] for word in of.words],
        "random_cosine": float(of.readout["random_cosine"][0]),
        "random_effect": of.readout["random_effect"].tolist(),
    }


def _sounds(
    of: FeatureSet, heard: Sequence[int], steered: Sequence[int], media: Media | None
) -> tuple[Mapping[Row, Any], dict[int, Any]]:
    """The files of the clips of features, and for some features what was made of a clip with them."""
    if media is None:
        return {}, {}
    rows = [of.rows[clip] for feature in heard for clip in of.clip[feature] if clip >= 0]
    files = media.add(rows)
    changed = {feature: found for feature in steered if (found := of.steered(feature))}
    edited = media.add([row for _, versions in changed.values() for row in versions.values()])
    at = {row: place for place, row in enumerate(of.rows)}
    told = {
        feature: {"clip": at[row], "versions": [{"name": name, **edited[one]} for name, one in versions.items()]}
        for feature, (row, versions) in changed.items()
    }
    return files, told


def _list(of: FeatureSet, own: Listed, heard: Sequence[int], steered: Mapping[int, Any]) -> dict[str, Any]:
    """What the first page needs of all features."""
    first = {feature: some[0] for feature, some in own.labels.items()}
    words = {feature: " · ".join(str(one.get("label", "")) for one in some) for feature, some in own.labels.items()}
    return {
        "columns": columns(own),
        "labels": {feature: [one.get("label"), one.get("score")] for feature, one in first.items()},
        "searched": {feature: text for feature, text in words.items() if len(own.labels[feature]) > 1},
        "rank": own.rank.tolist(),
        "dead": [int(feature) for feature in own.dead.nonzero()[0]],
        "heard": list(heard),
        "steered": list(steered),
    }


def _clips(of: FeatureSet, files: Mapping[Row, Any]) -> dict[str, Any]:
    """Every clip's prompt and seed, and the files of those that are heard."""
    prompts = list(dict.fromkeys(row.prompt for row in of.rows))
    place = {text: number for number, text in enumerate(prompts)}
    return {
        "prompts": prompts,
        "prompt": [place[row.prompt] for row in of.rows],
        "seed": [row.seed for row in of.rows],
        "files": {clip: files[row] for clip, row in enumerate(of.rows) if row in files},
    }


def _script(name: str, value: object) -> str:
    """A piece of data as a script of its own; the page asks for it by this name."""
    return f'receive("{name}",{as_json(value)});\n'


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
