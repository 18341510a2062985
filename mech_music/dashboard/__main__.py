"""``python -m mech_music.dashboard [folder] [--project …] [--entity …] [--publish]``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mech_music.base.errors import UserError
from mech_music.base.paths import user_path
from mech_music.cli.explain import in_one_line
from mech_music.config.paths import also_in

_ABOUT = """\
A W&B workspace and a W&B report of a sweep's runs, built from what they logged: effects (log-odds) by layer beside
their controls, layer by component, precision (inverse KL) against effectiveness, NDCG, dose and response, clips,
figures, tables, and the best layers as columns. Without --publish both are written as JSON, and nothing is sent.
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
    saved = "save both to W&B (needs a login); a second time brings them up to date"
    add("--publish", action="store_true", help=saved)
    add("--config-dir", type=Path, help="where the runs' own task is, as it was given to them")
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
    with also_in(options.config_dir):
        _make(options, console)


def _make(options: argparse.Namespace, console: Console) -> None:
    folder: Path = options.folder or newest(Path())
    from mech_music.report.found import read_results

    by_task = read_results(user_path(folder))
    from mech_music.dashboard import publish
    from mech_music.dashboard.views import Views
    from mech_music.tracking.wandb import logged_in

    if options.publish and not logged_in():
        raise UserError("--publish needs a W&B login: run `wandb login` once, or leave it out to write files only")
    for found in by_task:
        place: Path = options.out or folder / "dashboard"
        out = place if len(by_task) == 1 else place / found.schema.task
        loggers = [one.logger for one in found.runs]
        project = options.project or next((one.project for one in loggers), "mech_music")
        console.print(f"Written: {' and '.join(map(str, publish.write(Views(found, project), out)))}")
        if options.publish:
            entity = options.entity or next((one.entity for one in loggers if one.entity), "")
            for address in publish.publish(Views(found, project, entity), out):
                console.print(f"Open: {address}")
    if not options.publish:
        words = ["python", "-m", "mech_music.dashboard", str(folder), "--publish"]
        console.print(f"To publish, upload the runs (`wandb sync`), `wandb login` once, and: {shlex.join(words)}")


def main() -> None:
    """Entry point: exits with 1 and one line on stderr for a mistake."""
    with in_one_line():
        run(None, Console(highlight=False, markup=False, soft_wrap=True))


if __name__ == "__main__":
    main()
