"""``python -m mech_music.report <folder> [out=<file>] [audio=0]`` makes the page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mech_music.cli.explain import in_one_line
from mech_music.errors import UserError

USAGE = """\
One HTML page of a run's or a sweep's results: numbers, charts and clips, in one file that needs no network.

  python -m mech_music.report <folder>     the output folder of a run (outputs/…) or of a sweep (multirun/…)

  out=<file>    where the page is written; default: report.html in that folder
  audio=0       leave the clips out; the model is then not loaded

Clips are taken from the store, and made again where the store has lost them. A sweep of several tasks has a page for
each, in the folder named after it.
"""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. ``out``: None for ``report.html`` where the results are."""

    folder: Path
    out: Path | None
    audio: bool


def parse(words: Sequence[str]) -> Wanted:
    """The words of the command line. UserError for any that it does not know."""
    given = dict(word.split("=", 1) for word in words if word.startswith(("out=", "audio=")))
    options = {"out": "", "audio": "1"} | given
    folders = [word for word in words if not word.startswith(("out=", "audio="))]
    if len(folders) != 1:
        more = f", not {len(folders)}: {' '.join(folders)}" if folders else ""
        raise UserError(f"the report needs one folder{more} (usage: python -m mech_music.report <folder> [out=<file>])")
    if options["audio"] not in ("0", "1"):
        raise UserError(f"unknown value audio='{options['audio']}'; allowed: 0 (no clips), 1")
    folder = Path(folders[0]).expanduser()
    out = Path(options["out"]).expanduser() if options["out"] else None
    if out is not None and out.is_dir():
        raise UserError(f"out='{out}' is a folder: name a file, for instance out={out / 'report.html'}")
    return Wanted(folder, out, options["audio"] == "1")


def main(words: Sequence[str] | None = None) -> None:
    """Make the page. Exits with 1 and one line on stderr if that cannot be done."""
    words = sys.argv[1:] if words is None else words
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if {"-h", "--help"} & set(words):
        console.print(USAGE, end="")
        return
    with in_one_line("stopped; no page was written"):
        _make(parse(words), console)


def _make(wanted: Wanted, console: Console) -> None:
    from mech_music.report.found import read_results
    from mech_music.report.page import build, write

    parts = read_results(wanted.folder)
    if wanted.out and len(parts) > 1:
        folders = ", ".join(str(found.folder) for found in parts)
        raise UserError(
            f"out={wanted.out} names one page, but '{wanted.folder}' needs {len(parts)}: give one of {folders}"
        )
    for found in parts:
        page, out = build(found, wanted.audio), wanted.out or found.folder / "report.html"
        write(page, out)
        clips = f", {page.clips} clips" if page.clips else ", no clips"
        console.print(f"{out}: {out.stat().st_size / 1e6:.1f} MB{clips}. Open it in a browser.")
    for note in [*parts[0].missing, *(f"failed: {one.folder.name}: {one.reason}" for one in parts[0].failures)]:
        console.print(note)


if __name__ == "__main__":
    main()
