"""Whether a change of the code leaves every number as it was: small commands over all tasks, techniques and launchers.

Run them with the code before the change and with the code after it, then compare the tables to the last bit::

    python -m tests.same_tables record <before> --python-path <a checkout of the old code>
    python -m tests.same_tables record <after>
    python -m tests.same_tables compare <before> <after>

``record`` runs each command of `COMMANDS` in a folder of its own (``<before>/<name>``), nearly all on one fresh store.
What finished is not run again: given once more, it goes on where it was stopped. A folder belongs to one state of the
code; another state is refused, because it would be answered from the first one's results.

``compare`` reads every ``table.parquet`` and ``summary.parquet``. Store keys (``row``, ``baseline``) and columns that
only the newer code writes do not count; lines may come in another order. Both end with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

_SMALL = "prompts=3 duration=1 engine.workers=1"
_SAE = "sae.clips=40 sae.held_out=40 sae.spliced=4 sae.width=32 sae.k=4 sae.epochs=1 duration=1 engine.workers=1"
_FIT = "lens.clips=16 lens.held_out=8 lens.epochs=1 duration=1 engine.workers=1"

# By name, what follows `python -m mech_music.run`. Together they make every kind of clip and recording. A command that
# has to make its clips itself, rather than find those of another, has a store of its own or another seed.
COMMANDS = {
    # Interchange: techniques, strengths, components, sets of layers.
    "default": "prompts=4 duration=1",
    "techniques": f"-m technique=ablate,ablate-mean,adjust,random,replace,self component=ca layer=4+5+6 {_SMALL}",
    "projections": f"-m technique=project,project-original component=ca,mlp layer=4+5+6 {_SMALL}",
    "strengths": f"-m technique=scale,steer strength=0,0.5,2 component=mlp layer=last {_SMALL}",
    "together": "component=ca layer=together pair=piano-violin prompts=5 duration=2 engine.workers=1",
    "layers": f"""component=resid 'layer="0,5,last"' technique=adjust controls=[noise] {_SMALL}""",
    # … parts of a clip, guidance halves, histories, sets of pairs, sampling.
    "frames": f"-m frames=0:20,0s:0.5s,12: component=sa layer=3 technique=steer strength=1.5 {_SMALL}",
    "halves": f"-m half=cond,uncond history=own,shared component=ca layer=5 technique=steer controls=[self] {_SMALL}",
    "across": f"-m pair=rock-piano,violin-jazz+guitar-edm component=mlp layer=together {_SMALL}",
    "genres": "pair=genres component=ca layer=together controls=[] classifier=tiny prompts=2 duration=1",
    "sampling": f"-m sampling.top_k=0,20 sampling.guidance=1,1.5 sampling.temperature=0.8 seed=5 layer=2 {_SMALL}",
    "bfloat16": f"model.dtype=bfloat16 component=ca layer=together {_SMALL}",
    "experiment": f"""experiment=velez2024/fig4 model=tiny pair=jazz-rock 'layer="1,6"' {_SMALL}""",
    # Lenses and self-similarity.
    "decoder_lens": "-m task=decoder_lens component=mlp,sa,ca reading=free,forced concept=piano "
    f"""'layer="0,last"' {_SMALL}""",
    "tuned_lens": f"-m task=tuned_lens component=mlp,sa lens.seed=0,1 layer=2 {_FIT}",
    # Layer 2's lens is found in the store, layer 6's is trained.
    "tuned": f"-m task=decoder_lens lens=tuned reading=free,forced concept=piano layer=2,6 prompts=3 {_FIT}",
    "lens_read": f"task=decoder_lens lens=tuned lens.path=../tuned_lens/0 concept=violin layer=2 {_SMALL}",
    "self_similarity": f"-m task=self_similarity half=both,cond,uncond component=mlp,sa concept=piano+jazz {_SMALL}",
    # Patching: sites, windows, both directions; paths.
    "patching": f"task=patching 'component=\"ca,resid\"' layer=2 windows=2 direction=both pair=piano-violin {_SMALL}",
    "paths": f"task=patching path=ca2-mlp4+sa5 seeds=2 pair=piano-violin {_SMALL}",
    "heads": f"component=ca head=all layer=4 pair=piano-violin {_SMALL}",
    "parts": f"layer=3:steer+5:ablate+6 component=ca {_SMALL}",
    # Sparse autoencoders: trained, and steered with.
    "sae": f"task=sae 'layer=\"2,4\"' {_SAE}",
    "sae_steer": f"task=sae_steer 'strengths=[0.5,1]' candidates=2 choice_prompts=3 prompts=3 {_SAE}",
    "sae_features": f"task=sae_steer steer=features features=[4] contrast=1 schedule=every:2 'strengths=[1,2]' "
    f"prompts=3 {_SAE}",
    "sae_swap": f"task=sae_steer steer=swap features=[2,4] choice_prompts=3 'strengths=[1,2]' prompts=3 {_SAE}",
    "sae_erase": f"task=sae_erase concept=guitar+rock features=[1,4] prompts=3 {_SAE}",
    "sae_labels": f"task=sae_labels labeller=classifier labels.contrast=5 {_SAE}",
    "horizon": "model=symbolic-tiny task=horizon horizons_in=bars n_pieces=36 'horizons=[1,2]' layer=2 probe.folds=2 "
    "probe.inner=2 engine.workers=1",
    "ablate_structure": "model=symbolic-tiny task=ablate_structure n_pieces=8 sizes=[1] size=1 ways=[mean] draws=1 "
    "engine.workers=1",
    "continue": "model=symbolic-tiny task=continue prompts=2 engine.workers=1",
    "feature": f"technique=feature component=resid half=cond layer=4 technique.sae.width=32 {_SMALL}",
    "two_tasks": f"-m task=decoder_lens,self_similarity concept=trumpet+rock {_SMALL}",
    # Launchers and the engine.
    "packed": f"-m hydra/launcher=packed engine.store=own component=mlp,sa,ca,resid layer=2 {_SMALL}",
    "basic": f"-m hydra/launcher=basic engine.store=own component=mlp,sa,ca,resid layer=2 {_SMALL}",
    "joblib": f"-m hydra/launcher=joblib engine.store=own component=mlp,sa,ca,resid layer=2 {_SMALL}",
    "two_workers": "engine.workers=2 engine.store=own component=ca layer=4 prompts=5 duration=1",
    "packs_of_8": f"engine.pack=8 engine.keep_audio=true engine.store=own component=ca layer=4 {_SMALL}",
    "no_tokens": f"engine.keep_tokens=false seed=3 component=ca layer=4 {_SMALL}",
}
KEYS = ("row", "baseline")
_FINISHED = "finished.json"
_TABLES = ("table.parquet", "summary.parquet")


def record(folder: Path, checkout: Path, console: Console) -> int:
    """Run every command that has not finished in ``folder`` with the code of a checkout; how many failed.

    ValueError for a folder with results of other code.
    """
    folder, failed = folder.resolve(), 0
    _claim(folder, _fingerprint(checkout))
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(COMMANDS))
        for name, words in COMMANDS.items():
            progress.update(task, description=name)
            if reason := _run(folder, name, shlex.split(words), checkout.resolve()):
                failed += 1
                console.print(f"failed: {name}: {reason}", markup=False, highlight=False, soft_wrap=True)
            progress.advance(task)
    return failed


def _fingerprint(checkout: Path) -> str:
    """A hash of everything that the commands run: the package with its weights, the configs, the studies."""
    content = hashlib.sha256()
    for part in ("mech_music", "conf", "experiments"):
        for path in sorted((checkout / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content.update(f"{path.relative_to(checkout)}\n".encode() + path.read_bytes())
    return content.hexdigest()


def _claim(folder: Path, code: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    claimed = folder / "code.txt"
    if claimed.is_file() and claimed.read_text() != code:
        raise ValueError(f"'{folder}' has results of other code: record in a new folder")
    claimed.write_text(code)


def _run(folder: Path, name: str, words: list[str], checkout: Path) -> str | None:
    """Run one command, unless it has finished already; why it failed."""
    place = folder / name
    finished = place / _FINISHED
    if finished.is_file() and json.loads(finished.read_text())["words"] == words:
        return None
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    dirs = [f"hydra.run.dir={place}", f"hydra.sweep.dir={place}", "hydra.sweep.subdir=${hydra.job.num}"]
    store = [] if any(word.startswith("engine.store=") for word in words) else [f"engine.store={folder / 'store'}"]
    command = [sys.executable, "-m", "mech_music.run", *words, "logger=none", *store, *dirs]
    env = {**os.environ, "PYTHONPATH": str(checkout), "MECH_MUSIC_STORE": str(folder / "store")}
    started = time.monotonic()
    with (place / "output.txt").open("w+") as output:
        done = subprocess.run(command, cwd=place, env=env, stdout=output, stderr=subprocess.STDOUT, check=False)
        output.seek(0)
        said = output.read().split("\n")
    if done.returncode != 0:
        return next((line for line in reversed(said) if line.strip()), f"exit code {done.returncode}")
    finished.write_text(json.dumps({"words": words, "seconds": round(time.monotonic() - started, 1)}) + "\n")
    return None


def compare(before: Path, after: Path, console: Console) -> int:
    """Say of every table whether it is the same in both folders; how many are not."""
    found = [_tables(folder) for folder in (before, after)]
    wrong = 0
    for table in sorted(found[0] | found[1]):
        missing = [str(folder) for folder, tables in zip((before, after), found, strict=True) if table not in tables]
        differences = [f"not in {missing[0]}"] if missing else differ(_read(before / table), _read(after / table))
        wrong += bool(differences)
        console.print(f"{table}: {'; '.join(differences) or 'equal'}", markup=False, highlight=False, soft_wrap=True)
    total = len(found[0] | found[1])
    console.print(f"{total - wrong} of {total} tables are equal")
    return wrong if total else 1


def _tables(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for name in _TABLES for path in folder.rglob(name)}


def _read(path: Path) -> pd.DataFrame:
    """A Parquet file as it is: whatever the package writes beside the columns is not looked at."""
    return pq.read_table(path).to_pandas(ignore_metadata=True)


def differ(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """What of ``before`` is otherwise in ``after``, a clause for each column; nothing if all of it is the same.

    Lines are matched by their order after sorting by all columns that count. The axes are the first columns of every
    table and tell its lines apart: a metric that differs moves no line.
    """
    columns = [name for name in before.columns if name not in KEYS]
    missing = [f"column {name} is missing" for name in columns if name not in after.columns]
    if missing:
        return missing
    if len(before) != len(after):
        return [f"{len(before)} lines before, {len(after)} after"]
    old, new = (table.sort_values(columns, ignore_index=True) for table in (before, after))
    return [found for name in columns if (found := _differ_in(name, old[name].to_numpy(), new[name].to_numpy()))]


def _differ_in(name: str, old: np.ndarray, new: np.ndarray) -> str:
    """In how many lines a column differs, and by how much; empty if in none. Missing equals missing, 0 is not −0."""
    if old.dtype != new.dtype:
        return f"{name} is {new.dtype}, was {old.dtype}"
    if old.dtype.kind != "f":
        at = np.flatnonzero(old != new)
        return f"{name} differs in {len(at)} lines: {old[at[0]]} before, {new[at[0]]} after" if len(at) else ""
    same = (old == new) & (np.signbit(old) == np.signbit(new)) | np.isnan(old) & np.isnan(new)
    if same.all():
        return ""
    with np.errstate(invalid="ignore"):  # infinity − infinity
        most = np.fmax.reduce(np.abs(old - new)[~same])
    return f"{name} differs in {(~same).sum()} lines, by up to {most:.3g}"


def _checkout(text: str) -> Path:
    if not (Path(text) / "mech_music" / "run.py").is_file():
        raise argparse.ArgumentTypeError(f"'{text}' is no checkout: it has no mech_music/run.py")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.same_tables", description=__doc__, formatter_class=plain)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record", help="run the commands")
    recording.add_argument("folder", type=Path, help="where their results and their store go")
    here = Path(__file__).parents[1]
    recording.add_argument(
        "--python-path", type=_checkout, default=here, help="the checkout to run (default: this one)"
    )
    comparing = verbs.add_parser("compare", help="compare the tables of two folders")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    parser, console = _parser(), Console()
    options = parser.parse_args(arguments)
    if options.verb == "record":
        try:
            return int(record(options.folder, options.python_path, console) > 0)
        except ValueError as error:
            parser.error(str(error))
    return int(compare(options.before, options.after, console) > 0)


if __name__ == "__main__":
    sys.exit(main())
