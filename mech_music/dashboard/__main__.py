"""``python -m mech_music.dashboard [folder] [--project …] [--entity …] [--publish]``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from mech_music.cli.explain import in_one_line
from mech_music.errors import UserError

if TYPE_CHECKING:
    from mech_music.report.found import Found

_ABOUT = """\
A W&B workspace and a W&B report of a sweep's runs, built from what they logged: effects by layer beside their
controls, layer by component, precision against effectiveness, NDCG, dose and response, clips, figures, tables,
and the best layers as columns. Without --publish both are written as JSON, and nothing is sent.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mech_music.dashboard",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=Path, nargs="?", help="output folder of a sweep (multirun/…) or of a run (default: the newest)")
    add("--project", help="W&B project (default: that of the runs)")
    add("--entity", help="W&B user or team (default: that of the runs, else the account's own)")
    add(
        "--publish",
        action="store_true",
        help="save both to W&B (needs a login); a second time brings them up to date",
    )
    add("--out", type=Path, help="where the JSON is written (default: dashboard/ in the folder)")
    return parser


def newest(place: Path) -> Path:
    """The newest output folder below ``place``. UserError if there is none."""
    found = [path.parent for kind in ("multirun", "outputs") for path in (place / kind).glob("*/*/summary.parquet")]
    if not found:
        raise UserError("no results in multirun/ or outputs/ here: give the output folder of a sweep or of a run")
    return max(found, key=lambda folder: folder.stat().st_mtime)


def run(arguments: Sequence[str] | None, console: Console) -> None:
    """Do what the arguments say. UserError for a mistake."""
    options = _parser().parse_args(arguments)
    folder: Path = options.folder or newest(Path())
    from mech_music.report.found import read_results
    from mech_music.results.tables import schema_of

    by_task = read_results(folder.expanduser())
    from mech_music.dashboard import publish

    if options.publish:
        publish.must_be_logged_in()
    out: Path = options.out or folder / "dashboard"
    for found in by_task:
        _show(found, options, out if len(by_task) == 1 else out / schema_of(found.table).task, console)
    if not options.publish:
        words = ["python", "-m", "mech_music.dashboard", str(folder), "--publish"]
        console.print(f"To publish, upload the runs (`wandb sync`), `wandb login` once, and: {shlex.join(words)}")


def _show(found: Found, options: argparse.Namespace, out: Path, console: Console) -> None:
    """One task's workspace and report, written and perhaps published."""
    from mech_music.dashboard import publish
    from mech_music.dashboard.views import Views

    loggers = [one.logger for one in found.runs]
    project = options.project or next((one.project for one in loggers), "mech_music")
    entity = options.entity or next((one.entity for one in loggers if one.entity), None)
    paths = publish.write(Views(found, project), out)
    console.print(f"Written: {' and '.join(map(str, paths))}")
    if options.publish:
        for address in publish.publish(Views(found, project, entity or publish.default_entity()), out):
            console.print(f"Open: {address}")


def main() -> None:
    """Entry point: exits with 1 and one line on stderr for a mistake."""
    with in_one_line():
        run(None, Console(highlight=False, markup=False, soft_wrap=True))


if __name__ == "__main__":
    main()
