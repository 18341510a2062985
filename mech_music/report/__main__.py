"""``python -m mech_music.report <folder> [<other folder>] [out=<file>] [audio=0]`` makes the page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.base.paths import user_path
from mech_music.cli.explain import run_verb
from mech_music.config.paths import also_in

if TYPE_CHECKING:
    from mech_music.report.found import Found

USAGE = """\
One HTML page of a run's or a sweep's results: numbers, charts and clips, in one file that needs no network.

  python -m mech_music.report <folder>     the output folder of a run (outputs/…) or of a sweep (multirun/…)
  python -m mech_music.report <folder> <other folder>
                                           both on one page: in which settings they differ, their tables next to each
                                           other, and the differences of the cells that both have; without clips

  out=<file>               where the page is written; default: report.html in that folder, or beside-<other>.html
  audio=0                  leave the clips out; the model is then not loaded
  labels=<folder>          where labels.csv of features is, if not in the job's own folder
  --config-dir <folder>    where the run's own task, controls or metrics are, as they were given to the run

Clips are taken from the store. A sweep of several tasks has a page for each, in the folder named after it.
Jobs with features (task=sae) have a browser of them as well: features/index.html in each job's folder.
"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line: one folder or two; ``out`` is None for the page's own place. UserError for an unknown word."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-dir", type=Path)
    wanted, words = parser.parse_known_args(words)
    options = {"out": "", "audio": "1", "labels": ""}
    given = tuple(f"{name}=" for name in options)
    options |= dict(word.split("=", 1) for word in words if word.startswith(given))
    folders = [word for word in words if not word.startswith(given)]
    strange = next((word for word in folders if "=" in word and not user_path(word).exists()), "")
    if strange:
        raise UserError(
            f"unknown word {strange}; allowed: out=<file>, audio=0, labels=<folder>, --config-dir <folder>, or a folder"
        )
    if len(folders) not in (1, 2):
        more = f", not {len(folders)}: {' '.join(folders)}" if folders else ""
        usage = "usage: python -m mech_music.report <folder> [<other folder>] [out=<file>]"
        raise UserError(f"the report needs one folder, or two to have them beside each other{more} ({usage})")
    if options["audio"] not in ("0", "1"):
        raise UserError(f"unknown value audio='{options['audio']}'; allowed: 0 (no clips), 1")
    wanted.folders, wanted.audio = [user_path(folder) for folder in folders], options["audio"] == "1"
    wanted.out, wanted.labels = (user_path(options[x]) if options[x] else None for x in ("out", "labels"))
    if wanted.out is not None and wanted.out.is_dir():
        raise UserError(f"out='{wanted.out}' is a folder: name a file, for instance out={wanted.out / 'report.html'}")
    return wanted


def main(words: Sequence[str] | None = None) -> None:
    """Make the page. Exits with 1 and one line on stderr if that cannot be done."""
    run_verb(words, USAGE, _write, "stopped; no page was written")


def _write(words: Sequence[str], console: Console) -> None:
    wanted = parse(words)
    with also_in(wanted.config_dir):
        (_make_both if len(wanted.folders) == 2 else _make)(wanted, console)


def _make_both(wanted: argparse.Namespace, console: Console) -> None:
    from mech_music.report.found import read_results
    from mech_music.report.page import write
    from mech_music.report.two_runs import build, names_of

    names = names_of(wanted.folders)
    one, two = ({found.schema.task: found for found in read_results(folder)} for folder in wanted.folders)
    shared = [task for task in one if task in two]
    if not shared:
        tasks = " and ".join(f"'{name}' of {', '.join(own)}" for name, own in zip(names, (one, two), strict=True))
        raise UserError(f"the two runs share no task: {tasks}; name two runs of one task")
    if wanted.out and len(shared) > 1:
        raise UserError(f"out={wanted.out} names one page, but the runs share {', '.join(shared)}: leave it out")
    for task in shared:
        out = wanted.out or one[task].folder / f"beside-{names[1].replace('/', '-')}.html"
        write(build(one[task], two[task], names), out)
        console.print(f"{out}: {out.stat().st_size / 1e3:.0f} kB. Open it in a browser.")


def _make(wanted: argparse.Namespace, console: Console) -> None:
    from mech_music.report.found import read_results
    from mech_music.report.page import build, write

    (folder,) = wanted.folders
    parts = read_results(folder)
    if wanted.out and len(parts) > 1:
        folders = ", ".join(str(found.folder) for found in parts)
        raise UserError(f"out={wanted.out} names one page, but '{folder}' needs {len(parts)}: give one of {folders}")
    for found in parts:
        if wanted.audio:
            _browse(found, wanted.labels, console)
        out = wanted.out or found.folder / "report.html"
        page = build(found, wanted.audio, out.parent)
        write(page, out)
        clips = f", {page.clips} clips" if page.clips else ", no clips"
        console.print(f"{out}: {out.stat().st_size / 1e6:.1f} MB{clips}. Open it in a browser.")
    for note in [*parts[0].missing, *(f"failed: {one.folder.name}: {one.reason}" for one in parts[0].failures)]:
        console.print(note)


def _browse(found: Found, labels: Path | None, console: Console) -> None:
    """The browsers of the features of jobs that have some."""
    from mech_music.engine.opening import open_engine
    from mech_music.report.features.job import browser_again
    from mech_music.tasks.protocol import Browsing
    from mech_music.tasks.registry import task_of

    for job in found.jobs:
        if job.run is None or not isinstance(task := task_of(job.run), Browsing):
            continue
        try:
            told = browser_again(task, job.run, open_engine(job.run), job.folder, labels)
        except UserError as error:
            told = f"no features of {job.folder.name}: {error}"
        if told:
            console.print(told)


if __name__ == "__main__":
    main()
