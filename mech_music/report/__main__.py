"""``python -m mech_music.report <folder> [out=<file>] [audio=0]`` makes the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.cli.explain import in_one_line
from mech_music.config.paths import also_in

USAGE = """\
One HTML page of a run's or a sweep's results: numbers, charts and clips, in one file that needs no network.

  python -m mech_music.report <folder>     the output folder of a run (outputs/…) or of a sweep (multirun/…)

  out=<file>               where the page is written; default: report.html in that folder
  audio=0                  leave the clips out; the model is then not loaded
  --config-dir <folder>    where the run's own task, controls or metrics are, as they were given to the run

Clips are taken from the store. A sweep of several tasks has a page for each, in the folder named after it.
"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line; ``out`` is None for ``report.html`` where the results are. UserError for an unknown word."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-dir", type=Path)
    wanted, words = parser.parse_known_args(words)
    options = {"out": "", "audio": "1"} | dict(w.split("=", 1) for w in words if w.startswith(("out=", "audio=")))
    folders = [word for word in words if not word.startswith(("out=", "audio="))]
    if len(folders) != 1:
        more = f", not {len(folders)}: {' '.join(folders)}" if folders else ""
        raise UserError(f"the report needs one folder{more} (usage: python -m mech_music.report <folder> [out=<file>])")
    if options["audio"] not in ("0", "1"):
        raise UserError(f"unknown value audio='{options['audio']}'; allowed: 0 (no clips), 1")
    wanted.folder, wanted.audio = Path(folders[0]).expanduser(), options["audio"] == "1"
    wanted.out = Path(options["out"]).expanduser() if options["out"] else None
    if wanted.out is not None and wanted.out.is_dir():
        raise UserError(f"out='{wanted.out}' is a folder: name a file, for instance out={wanted.out / 'report.html'}")
    return wanted


def main(words: Sequence[str] | None = None) -> None:
    """Make the page. Exits with 1 and one line on stderr if that cannot be done."""
    words = sys.argv[1:] if words is None else words
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if {"-h", "--help"} & set(words):
        console.print(USAGE, end="")
        return
    with in_one_line("stopped; no page was written"):
        wanted = parse(words)
        with also_in(wanted.config_dir):
            _make(wanted, console)


def _make(wanted: argparse.Namespace, console: Console) -> None:
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
