"""The store's command line: ``python -m mech_music.store {size,verify,compact,prune}``."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress
from rich.table import Table

from mech_music.base.errors import UserError
from mech_music.base.paths import user_path
from mech_music.config.paths import default_store_dir
from mech_music.store import upkeep

_KINDS = ("clips", "readings", "records", "audio", "streams", "training", "damaged", "remains", "old", "rows")
_OF = {"rows": upkeep.SHARDED}


def _days(text: str) -> float:
    days = float(text)
    if not (math.isfinite(days) and days >= 0):
        raise argparse.ArgumentTypeError(f"'{text}': expected a number of days, 0 or more")
    return days


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mech_music.store", description="Look after the row store.")
    parser.add_argument("--store", type=Path, default=default_store_dir(), help="its folder (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", metavar="{size,verify,compact,prune}")
    commands.add_parser("size", help="what the store holds (the default)")
    commands.add_parser("verify", help="read every file; damaged ones are set aside (exit code 1)")
    commands.add_parser("compact", help="join small files, each clip once")
    prune = commands.add_parser("prune", help="remove what is not wanted; without --yes only say what that is")
    both = "kinds of files (default: clips and their readings, together called rows)"
    prune.add_argument("--what", nargs="+", choices=_KINDS, default=["rows"], help=both)
    prune.add_argument("--old", action="store_true", help="what earlier versions of mech_music left here")
    prune.add_argument("--model", help="only clips and readings of this model, by its config's name")
    prune.add_argument("--older-than", type=_days, metavar="DAYS", help="only files older than this")
    prune.add_argument("--yes", action="store_true", help="really remove them")
    return parser


def _table(holdings: Sequence[upkeep.Holding]) -> Table:
    table = Table("what", "model", "settings", "items", "files", "size", "newest")
    for holding in holdings:
        about = dict(holding.about)
        newest = time.strftime("%Y-%m-%d %H:%M", time.localtime(holding.newest)) if holding.files else ""
        numbers = f"{holding.items:,}", f"{len(holding.files):,}", decimal(holding.size)
        table.add_row(holding.what, about.get("model", ""), about.get("settings", ""), *numbers, newest)
    return table


def run(arguments: Sequence[str] | None, console: Console) -> int:
    """Do what the arguments say; the exit code. UserError for a folder that is no store."""
    options = _parser().parse_args(arguments)
    folder = upkeep.check_store(user_path(options.store))
    if options.command == "verify":
        return _verify(folder, console)
    if options.command == "compact":
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("compact", total=None)
            before, after = upkeep.compact(folder, lambda: progress.advance(task))
        console.print(f"{before} files of clips and readings are now {after}")
    elif options.command == "prune":
        _prune(folder, options, console)
    else:
        console.print(f"Store: {folder}", soft_wrap=True, highlight=False)
        console.print(_table(upkeep.survey(folder)))
    return 0


def _verify(folder: Path, console: Console) -> int:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("verify", total=upkeep.count_files(folder))
        damaged = upkeep.verify(folder, lambda: progress.advance(task))
    for path in damaged:
        console.print(f"damaged, set aside: {path}", soft_wrap=True, highlight=False)
    console.print(f"{len(damaged)} damaged files" if damaged else "every file is what was written")
    return 1 if damaged else 0


def _prune(folder: Path, options: argparse.Namespace, console: Console) -> None:
    kinds = {"old"} if options.old else {kind for name in options.what for kind in _OF.get(name, (name,))}
    chosen = upkeep.prunable(folder, kinds, options.model, options.older_than)
    console.print(_table(chosen))
    if options.yes:
        upkeep.prune(chosen)
    console.print("Removed." if options.yes else "Nothing removed yet: add --yes to remove these files.")


def main() -> None:
    """Entry point: exits 0; 1 for damage and mistakes (one line on stderr)."""
    try:
        raise SystemExit(run(None, Console()))
    except UserError as error:
        Console(stderr=True, markup=False, highlight=False, soft_wrap=True).print(f"mech_music: {error}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
