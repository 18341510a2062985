"""Everything that may happen to a long sweep, with real processes, real signals, and a disk that is really full.

Each process is forked from this one, so that it starts with its libraries loaded; from there on it is the command
line as a user starts it.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from mech_music.config.paths import conf_dir
from mech_music.models.musicgen.loading import load_model
from mech_music.models.musicgen.model import HookedMusicGen
from mech_music.run import INTERRUPTED
from mech_music.store import Store, upkeep
from mech_music.store.rows import VERSION
from tests.composed_once import compose_once
from tests.composing import compose_run

SWEEP = (
    "-m",
    "component=mlp,ca",
    "pair=jazz-rock",
    "layer='0,together'",
    "prompts=3",
    "duration=0.2",
    "design=velez2024",
    "metrics=[]",
)
JOBS = 2
QUICK = ("logger=none", "statistics.resamples=50", "engine.pack=16", "audio.strongest=1", "audio.weakest=0")
KILLS = 20
# What a run imports while it is under way: loaded once, here, and not by each of the processes.
LOADED = (
    "hear21passt.base", "mech_music.cli.job", "mech_music.cli.launcher.composer", "mech_music.listeners.passt",
    "mech_music.listeners.tiny", "mech_music.models.musicgen.build", "mech_music.results.figures",
    "mech_music.tasks.interchange.task", "mech_music.tasks.interchange.terminal", "pyarrow.parquet",
)  # fmt: skip
# Every kind of file that is written, killed with its content still beside it, and with it there and nothing more done.
WRITES = [
    (name, moment)
    for name in ("records", "readings", "clips", "table.parquet", "summary.parquet")
    for moment in ("before", "after")
]


class Process:
    """``mech_music.run <words>`` in a process of its own; what it prints is in ``<folder>/printed``."""

    def __init__(self, folder: Path, store: Path, *words: str, killed_at: tuple[str, str] | None = None) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        self.folder = folder
        argv = ["mech-music", *words, *QUICK, f"engine.store={store}", f"hydra.sweep.dir={folder / 'sweep'}"]
        argv.append(f"hydra.run.dir={folder / 'run'}")
        self.pid = os.fork()
        if self.pid == 0:
            if killed_at:
                _kill_at(*killed_at)
            _become(argv, folder / "printed")

    def wait(self) -> int:
        """The exit status; minus the signal's number for a process that was killed."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> int:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    @property
    def printed(self) -> str:
        return (self.folder / "printed").read_text()

    @property
    def tables(self) -> list[bytes]:
        """The bytes of the sweep's table and summary, and of its jobs'."""
        paths = [path for name in ("table", "summary") for path in (self.folder / "sweep").rglob(f"{name}.parquet")]
        return [path.read_bytes() for path in sorted(paths)]


def _kill_at(name: str, moment: str) -> None:
    """From now on this process is killed at the first write to a folder or a file of that name, by it or a worker."""
    command, replace = os.getpid(), Path.replace

    def killed(partial: Path, target: Path) -> Path:
        found = name in (target.parent.name, target.parent.parent.name, target.name)
        if found and moment == "before":
            os.kill(command, signal.SIGKILL)
            time.sleep(60)  # a worker ends with its command
        written = replace(partial, target)
        if found:
            os.kill(command, signal.SIGKILL)
            time.sleep(60)
        return written

    Path.replace = killed  # type: ignore[method-assign]


def _become(argv: list[str], printed: Path) -> None:
    """Never returns."""
    status = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        out = os.open(printed, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        sys.argv = argv
        logging.getLogger().handlers.clear()  # those of earlier tests write to streams that are closed
        from hydra._internal.hydra import Hydra

        from mech_music.models.musicgen import loading
        from mech_music.results import figures
        from mech_music.run import main

        figures.draw_all = lambda *_: []  # drawn when the tables are there: they take half of a small sweep's time
        compose_once(pytest.MonkeyPatch())
        Hydra.get_mode = lambda *_, **__: None  # composes all once more: only experiments set a mode
        loading._load = lambda *_: _bundled()
        main()
        status = 0
        if (pools := sys.modules.get("joblib.externals.loky.reusable_executor")) and pools._executor:
            pools._executor.terminate()  # as at the end of a process that is no copy
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@cache
def _bundled() -> HookedMusicGen:
    """Loaded before processes are forked, not by each of them."""
    return load_model(device="cpu")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Process:
    """The sweep as it is when nothing happens to it."""
    for name in LOADED:
        import_module(name)
    compose_run("pair=jazz-rock")  # and Hydra's plugins and grammars
    _bundled()
    folder = tmp_path_factory.mktemp("undisturbed")
    start = time.monotonic()
    process = Process(folder, folder / "store", *SWEEP)
    assert process.wait() == 0, process.printed
    (folder / "seconds").write_text(str(time.monotonic() - start))
    assert len(process.tables) == 2 * (JOBS + 1)
    return process


def rows_in(store: Path) -> tuple[int, int]:
    """Distinct rows, and rows with those that are there twice."""
    return len(Store(store).clips), sum(holding.items for holding in upkeep.survey(store) if holding.what == "clips")


def test_killed_at_every_kind_of_write(undisturbed: Process, tmp_path: Path) -> None:
    """One after the other, each going on from the last; then left alone."""
    for at in WRITES:
        process = Process(tmp_path, tmp_path / "store", *SWEEP, killed_at=at)
        assert process.wait() == -signal.SIGKILL, (at, process.printed)
    _ends_well(undisturbed, tmp_path)


def _ends_well(undisturbed: Process, folder: Path) -> None:
    """The same command, left alone, continues to the same tables; nothing is lost, and nothing is different."""
    process = Process(folder, folder / "store", *SWEEP)
    assert process.wait() == 0, process.printed
    assert process.tables == undisturbed.tables
    assert rows_in(folder / "store")[0] == rows_in(undisturbed.folder / "store")[0]
    assert not upkeep.verify(folder / "store", lambda: None)


@pytest.mark.slow
def test_killed_twenty_times(undisturbed: Process, tmp_path: Path) -> None:
    """At random moments, from its first instant on; then left alone."""
    seconds, chance = float((undisturbed.folder / "seconds").read_text()), random.Random(0)
    killed, stored = 0, [0]
    while killed < KILLS:
        process = Process(tmp_path, tmp_path / "store", *SWEEP)
        time.sleep(chance.uniform(0, 0.9 * seconds))
        killed += process.kill() == -signal.SIGKILL
        if (tmp_path / "store" / VERSION / "clips").is_dir():
            stored.append(rows_in(tmp_path / "store")[0])
            assert stored[-1] >= stored[-2]
    assert stored[-1] > 0
    _ends_well(undisturbed, tmp_path)


def test_four_processes_share_a_store(undisturbed: Process, tmp_path: Path) -> None:
    names = ("one", "two", "three", "four")
    processes = [Process(tmp_path / name, tmp_path / "store", *SWEEP, "engine.workers=1") for name in names]
    for process in processes:
        assert process.wait() == 0, process.printed
        assert process.tables == undisturbed.tables
    distinct, all_rows = rows_in(tmp_path / "store")
    assert distinct == rows_in(undisturbed.folder / "store")[0]
    assert all_rows == distinct, "a pass was made twice"


@pytest.mark.parametrize("launcher", ["packed", "basic", "joblib", "submitit_local"])
def test_the_same_from_the_store_under_every_launcher(
    undisturbed: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    """The last two run each job in a process that they start, which imports everything; submitit gets one job."""
    monkeypatch.setenv("PYTHONPATH", str(conf_dir().parent))
    monkeypatch.setenv("PYTHONWARNINGS", "default,ignore::ResourceWarning")
    words = [word.replace("mlp,ca", "mlp") if launcher == "submitit_local" else word for word in SWEEP]
    process = Process(tmp_path, undisturbed.folder / "store", *words, f"hydra/launcher={launcher}")
    assert process.wait() == 0, process.printed
    assert "jazz → rock" in process.printed and "Warning" not in process.printed
    assert "clips ━" not in process.printed, "a clip was made again"
    assert len(process.tables) == 2 * (1 + (1 if launcher == "submitit_local" else JOBS))
    assert set(process.tables) <= set(undisturbed.tables)


def test_a_run_that_is_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the passes: stops, says how to go on, leaves no table."""
    process = Process(
        tmp_path,
        tmp_path / "store",
        "prompts=50",
        "layer=together",
        "duration=2",
        "design=velez2024",
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(f"store/{VERSION}/clips/*")):  # until the first pass is kept
        assert time.monotonic() < deadline, process.printed
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130, process.printed
    assert process.printed.endswith(f"mech_music: {INTERRUPTED}\n")
    assert "Traceback" not in process.printed
    assert not list(tmp_path.rglob("table.parquet"))


@pytest.mark.parametrize("damage", ["truncated", "one bit flipped"])
def test_every_file_damaged(undisturbed: Process, tmp_path: Path, damage: str) -> None:
    store, chance = tmp_path / "store", random.Random(1)
    subprocess.run(["cp", "-r", undisturbed.folder / "store", store], check=True)
    files = [path for part in ("clips", "readings", "records") for path in (store / VERSION / part).rglob("*.*")]
    for path in files:
        content = bytearray(path.read_bytes())
        at = chance.randrange(len(content))
        if damage == "truncated":
            content = content[:at]
        else:
            content[at] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    process = Process(tmp_path, store, *SWEEP)
    assert process.wait() == 0, process.printed
    assert process.tables == undisturbed.tables
    damaged = next(holding.items for holding in upkeep.survey(store) if holding.what == "damaged")
    read = [path for path in files if path.parent.name != "clips"]  # of clips, only keys
    assert damaged >= len(read) - 2, "what the sweep reads"
    assert damaged + len(upkeep.verify(store, lambda: None)) == len(files)


def test_a_full_disk(undisturbed: Process, tmp_path: Path) -> None:
    """One clear line, nothing half-written; with more room the same command goes on from there."""
    with small_disk(tmp_path / "disk", "400k") as disk:
        process = Process(tmp_path, disk / "store", *SWEEP)
        assert process.wait() == 1
        assert "No space left on device" in process.printed
        assert "Traceback" not in process.printed
        assert not upkeep.verify(disk / "store", lambda: None)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        process = Process(tmp_path, disk / "store", *SWEEP)
        assert process.wait() == 0, process.printed
        assert process.tables == undisturbed.tables


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in memory; needs the right to mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_infinite_activations_fail_their_own_rows_only(tmp_path: Path) -> None:
    """Every other row of the same passes has its result, and the failed ones keep their lines in the table."""
    words = (
        "-m",
        "technique=scale",
        "component=mlp",
        "layer=together",
        "strength=0.5,1e38",
        "prompts=3",
        "design=velez2024",
    )
    process = Process(tmp_path, tmp_path / "store", *words, "duration=0.4", "controls=[noise]")
    assert process.wait() == 0, process.printed
    table = pd.read_parquet(tmp_path / "sweep" / "table.parquet")
    effects = table[table["role"] == "technique"]
    assert set(effects.loc[effects["failed"], "strength"]) == {1e38}
    assert set(effects.loc[~effects["failed"], "strength"]) == {0.5}
    assert not table.loc[table["role"] == "noise", "failed"].any()
    log = next((tmp_path / "sweep").rglob("mech_music.log"), None)
    told = process.printed + (log.read_text() if log else "")
    assert "failed: a non-finite value while generating Row(" in told
    assert "blocks.7.hook_mlp_out" in told, "with its config"
