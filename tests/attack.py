"""Bad inputs over every entry point: each has to end in one line and a status that is not 0, and leave nothing behind.

``make attack`` prints each that falls short, and how many do. A case is tried in a copy of this process, in an empty
folder with an empty store, so that hundreds take minutes.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rich.console import Console

from mech_music.__main__ import VERBS
from tests.attack_calls import API
from tests.attack_cases import COMMANDS, FILES

_SECONDS = 60.0
_MEMORY = 12 * 2**30
STATUS = {1, 2}
"""Of a mistake; 2 where argparse says it."""


@dataclass(frozen=True)
class Ending:
    """How a case ended: ``status`` (128 + signal for one that was killed), what it printed, and what it left."""

    name: str
    status: int
    printed: str
    left: tuple[str, ...]
    seconds: float

    @property
    def fault(self) -> str:
        """What is wrong with it; empty if nothing is."""
        lines = [line for line in self.printed.splitlines() if line.strip() and not line.startswith("usage: ")]
        said = [line for line in lines if not line.startswith(" ")]
        if self.name.startswith("doctor --quick"):  # its screen, and the reasons below
            said = said[-1:]
        for wrong, what in (
            (self.seconds > _SECONDS, f"more than {_SECONDS:.0f} s"),
            ("Traceback" in self.printed, "a traceback"),
            (self.status == 0, "accepted"),
            (self.status not in STATUS, f"status {self.status}"),
            (not said, "nothing said"),
            (len(said) > 1, f"{len(said)} lines"),
            (self.left, f"left {', '.join(self.left[:3])}"),
        ):
            if wrong:
                return what
        return ""


def attempt(name: str, work: Callable[[], object], folder: Path) -> Ending:
    """The work in a copy of this process, in a folder that is empty but for what the case puts there."""
    printed, before, start = folder.with_suffix(".txt"), _files(folder), time.monotonic()
    child = os.fork()
    if not child:
        _child(work, folder, printed)
    status = _wait(child, start)
    left = tuple(sorted(_files(folder) - before))
    return Ending(name, status, printed.read_text(errors="replace"), left, time.monotonic() - start)


def _child(work: Callable[[], object], folder: Path, printed: Path) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ |= {"MECH_MUSIC_STORE": str(folder.with_suffix(".store")), "COLUMNS": "100"}
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    file = os.open(printed, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    status = 0
    try:
        work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _wait(child: int, start: float) -> int:
    while time.monotonic() - start <= _SECONDS:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 128 + signal.SIGKILL


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def commands() -> Iterator[tuple[str, Callable[[], object]]]:
    """Each command line, as ``mech-music`` is given it."""
    for line in COMMANDS:
        verb, *words = shlex.split(line)
        yield line, lambda verb=verb, words=words: _command(verb, words)


def _command(verb: str, words: Sequence[str]) -> None:
    sys.argv = [f"mech-music {verb}", *words]
    import_module(VERBS[verb][0]).main()


def calls() -> Iterator[tuple[str, Callable[[], object]]]:
    """Each call of the Python API; a UserError is the one line that a command would print."""
    for source in API:
        yield source, lambda source=source: _call(source)


def _call(source: str) -> None:
    import mech_music
    from mech_music import UserError

    try:
        exec(source, {name: getattr(mech_music, name) for name in mech_music.__all__})
    except UserError as error:
        sys.exit(str(error))


def main(names: Sequence[str]) -> int:
    """How many fall short. ``names``: parts of the cases to try; all without."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    import_module("mech_music.cli.job")
    cases = [case for case in (*commands(), *calls()) if not names or any(name in case[0] for name in names)]
    short = 0
    with tempfile.TemporaryDirectory() as top:
        for number, (name, work) in enumerate(cases):
            folder = Path(top) / str(number)
            folder.mkdir()
            for path, content in FILES.items():
                if path in name:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_bytes(content)
            ending = attempt(name, work, folder)
            if ending.fault:
                short += 1
                last = (ending.printed.strip().splitlines() or [""])[-1]
                console.print(f"{ending.fault:<16} {name}\n{'':<16} {last[:200]}")
            shutil.rmtree(folder, ignore_errors=True)
    console.print(f"{len(cases)} bad inputs, {short} fall short")
    return short


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
