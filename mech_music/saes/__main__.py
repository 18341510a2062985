"""``mech-music sae export <job folder> [--format neuronpedia] [--out <folder>]``: what a run knows of its features,
for other tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

from rich.console import Console

from mech_music.base.errors import UserError, unknown
from mech_music.cli.explain import run_verb
from mech_music.config.paths import also_in

if TYPE_CHECKING:
    from mech_music.report.found import Job

FORMATS = ("neuronpedia",)
_SHORT = "usage: mech-music sae export <folder> [--format neuronpedia] [--out <folder>]"
USAGE = """\
The features of a run's sparse autoencoders, for other tools.

  python -m mech_music.saes export <folder>   the output folder of a run of task=sae, or of a sweep

  --format neuronpedia     v1/MODEL/SOURCE/{features,activations,explanations}/batch-N.jsonl.gz (the only one so far)
  --out <folder>           where it is written; default: neuronpedia/ in the job's folder
  --labels <folder>        where labels.csv is, if not in the job's own folder
  --config-dir <folder>    where the run's own task is, as it was given to the run

Taken from the store: what that has no more is made again by the run's own command.
The SAEs themselves lie in SAELens' format in saes/ of each job's folder.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} ({_SHORT})")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line. UserError for what it does not know."""
    if not words:
        raise UserError(f"expected the word export ({_SHORT})")
    if words[0] != "export":
        raise UserError(unknown("word", words[0], ["export"]))
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", default=FORMATS[0])
    for name in ("--out", "--labels", "--config-dir"):
        parser.add_argument(name, type=Path)
    wanted = parser.parse_args(list(words[1:]))
    if wanted.format not in FORMATS:
        raise UserError(unknown("--format", wanted.format, FORMATS))
    return wanted


def main(words: Sequence[str] | None = None) -> None:
    """Export. Exits with 1 and one line on stderr if that cannot be done."""
    run_verb(words, USAGE, _export, "stopped; nothing half-written is left")


def _export(words: Sequence[str], console: Console) -> None:
    wanted = parse(words)
    with also_in(wanted.config_dir):
        from mech_music.report.found import read_results

        jobs = [job for found in read_results(wanted.folder.expanduser()) for job in found.jobs]
        if not (written := [line for job in jobs for line in _export_job(job, wanted, len(jobs) > 1)]):
            raise UserError(f"no features in '{wanted.folder}': give the folder of a run of task=sae")
        for line in written:
            console.print(line)


def _export_job(job: Job, wanted: argparse.Namespace, several: bool) -> list[str]:
    """A line for each SAE of a job; none for a job without features."""
    from mech_music.engine.opening import open_engine
    from mech_music.report.features.table import read_labels
    from mech_music.saes.neuronpedia import export
    from mech_music.tasks.protocol import Browsing
    from mech_music.tasks.registry import task_of

    if job.run is None or not isinstance(task := cast(object, task_of(job.run)), Browsing):
        return []
    if not (needed := task.browsed(job.run)):
        return []
    engine = open_engine(job.run)
    if lost := sum(source not in engine.passes.recording for source in needed):
        raise UserError(f"the store lacks {lost} recordings of '{job.folder}': run its command again")
    folder = wanted.out or job.folder / wanted.format
    folder = folder / job.folder.name if wanted.out and several else folder
    catalogue = task.catalogue(job.run, engine.answers(needed))
    labels, lines = read_labels(wanted.labels or job.folder), []
    for of in catalogue.sets:
        point = of.hook.rpartition("hook_")[2].replace("_", "-")
        done = export(of, labels, catalogue.model, f"{of.layer}-{point}-{of.n_features}", folder)
        counts = f"{done.features} features, {done.activations} clips' activations, {done.explanations} explanations"
        lines.append(f"{done.folder}: {counts}")
    return lines


if __name__ == "__main__":
    main()
