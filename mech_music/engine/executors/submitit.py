"""Workers as jobs of a Slurm cluster, through submitit: an array, whose jobs claim passes until none is left.

A job that reaches its time, or is preempted, is warned, queued again by submitit, and goes on from the store. What
became of a job is asked of ``squeue``, which needs no accounting database.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mech_music.base.atomic import replacing
from mech_music.base.errors import first_line
from mech_music.base.paths import user_path
from mech_music.config.schema import RunConfig, SubmititConfig
from mech_music.engine.executors.protocol import Work, WorkersFailed
from mech_music.engine.executors.watch import Ended, useful, watch
from mech_music.engine.executors.worker import MARK, Job, OpensEngine, pack, perform, seen

if TYPE_CHECKING:
    from mech_music.engine.engine import Engine

_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "GONE")
_LAG = 10.0  # seconds that a result may take to be seen through a shared file system
_ENDING = 60.0  # seconds that a process of this machine may take to end
_ASKED_EVERY = 2.0  # seconds between questions to the scheduler
_OWNERS = 0o700  # the mode of a folder that its owner alone may enter
_BY_SIGNAL = 128  # exit codes from here on are signals'


class Submitit:
    """Makes work by jobs that it submits."""

    def __init__(self, run: RunConfig, opens: OpensEngine) -> None:
        self._run, self._opens, self._how = run, opens, run.engine.submitit

    def make(self, work: Work, engine: Engine) -> None:
        n = useful(work, self._how.workers) if work.asks else self._how.workers
        top = user_path(self._how.folder) if self._how.folder else engine.store.place / "jobs"
        folder = top.absolute() / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{uuid.uuid4().hex[:8]}"
        with seen(engine.store) as token:
            folder.mkdir(parents=True)
            folder.chmod(_OWNERS)  # jobs unpickle what lies in it
            with replacing(folder / "work") as path:
                path.write_bytes(pack(Job.of(self._run, self._opens, work, engine, n, token)))
            watch(Jobs(self._how, folder), n, work, engine, self._how.restarts)
        shutil.rmtree(folder, ignore_errors=True)  # kept, with its logs, where something failed


class Worker:
    """What a job runs; submitit calls `checkpoint` when the job is warned, and queues what that gives."""

    def __call__(self, packed: str) -> str | None:
        path = Path(packed)
        if refused := _foreign(path):
            return refused
        return perform(path.read_bytes(), _say)

    def checkpoint(self, packed: str) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, packed)


def _foreign(path: Path) -> str | None:
    """Why a file may not be unpickled: somebody else wrote it, or may have."""
    for place in (path, path.parent):
        found = place.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            return f"'{place}' is not yours alone to write, and a worker runs what is in it: chmod go-w, or chown it"
    return None


def _say(line: str) -> None:
    os.write(1, f"{MARK}{line}\n".encode())


class Jobs:
    """The jobs of some work."""

    def __init__(self, how: SubmititConfig, folder: Path) -> None:
        self._folder, self._executor = folder, _executor(how, folder)
        self._jobs: dict[str, Any] = {}
        self._here: list[Any] = []  # processes of this machine
        self._states: dict[str, str] = {}
        self._over: dict[str, float] = {}
        self._read: dict[str, int] = {}
        self._ready: set[str] = set()
        self._asked = 0.0

    def start(self, n: int) -> None:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            started = self._executor.map_array(Worker(), [str(self._folder / "work")] * n)
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise WorkersFailed(f"the cluster takes no job: {_told(error)}") from error
        self._jobs |= {job.job_id: job for job in started}
        self._here += started if self._executor.cluster == "local" else []
        self._asked = 0.0

    def lacking(self) -> int:
        return 0

    def ended(self) -> Iterator[Ended]:
        self._look()
        for name, job in list(self._jobs.items()):
            result = self._result(job)
            if result is not None:
                outcome, content = result
                reason = content if outcome == "success" else content.strip().splitlines()[-1]
                yield self._end(name, reason=reason)
            elif self._states.get(name, "PENDING") in _OVER:
                since = self._over.setdefault(name, time.monotonic())
                if time.monotonic() - since > _LAG or self._failed_at_once(name):
                    reason = self._last_words(job) if self._failed_at_once(name) else None
                    yield self._end(name, reason=reason, died=True)
            else:
                self._over.pop(name, None)  # queued again

    def _result(self, job: Any) -> tuple[str, Any] | None:
        """What the job left: success or error, and a reason or a traceback."""
        from submitit.core.utils import UncompletedJobError, pickle_load

        try:
            return pickle_load(job.paths.result_pickle)
        except (FileNotFoundError, EOFError, UncompletedJobError):
            return None

    def _end(self, name: str, reason: str | None, died: bool = False) -> Ended:
        job = self._jobs.pop(name)
        return Ended(f"job {name} ({self._states.get(name, 'done').lower()})", reason, died, str(job.paths.stderr))

    def _failed_at_once(self, name: str) -> bool:
        """Whether it ended, of itself, before it was ready: the next would do the same."""
        return name not in self._ready and self._states[name] == "FAILED" and not self._killed(name)

    def _killed(self, name: str) -> bool:
        if self._executor.cluster != "slurm":
            return False
        shown = _run_command("scontrol", "--oneliner", "show", "job", name)
        codes = re.search(r" ExitCode=(\d+):(\d+)", shown or "")
        return codes is None or int(codes[1]) >= _BY_SIGNAL or int(codes[2]) > 0

    @staticmethod
    def _last_words(job: Any) -> str:
        """The last line that the job wrote."""
        written = [line for text in (job.stderr(), job.stdout()) for line in (text or "").strip().splitlines()]
        return f"failed before it began: {written[-1][:200]}" if written else "failed before it began"

    def lines(self) -> Iterator[str]:
        for name, job in self._jobs.items():
            for line in self._new(name, job.paths.stdout):
                if line.startswith(MARK):
                    self._ready.add(name)
                    yield f"job {name}: {line.removeprefix(MARK)}"

    def _new(self, name: str, log: Path) -> list[str]:
        """The whole lines that were written since the last look."""
        try:
            with log.open("rb") as file:
                file.seek(self._read.get(name, 0))
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read[name] = self._read.get(name, 0) + len(whole)
        return whole.decode(errors="replace").splitlines()

    def counts(self) -> tuple[int, int]:
        running = sum(self._states.get(name) in ("RUNNING", "COMPLETING") for name in self._jobs)
        return running, len(self._jobs) - running

    def stop(self) -> None:
        for job in self._jobs.values():
            job.cancel(check=False)
        deadline = time.monotonic() + _ENDING
        while self._here and not all(job.done() for job in self._here) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _look(self) -> None:
        """Ask what became of the jobs."""
        if not self._jobs or time.monotonic() - self._asked < _ASKED_EVERY:
            return
        self._asked = time.monotonic()
        if self._executor.cluster == "slurm":
            shown = _run_command("squeue", "--me", "--states=all", "--array", "--noheader", "--format=%i %T")
            if shown is not None:
                found = dict(line.split()[:2] for line in shown.splitlines())
                self._states |= {name: found.get(name, "GONE") for name in self._jobs}
        else:
            told: dict[str, str] = {"FINISHED": "FAILED", "INTERRUPTED": "CANCELLED"}  # where it left no result
            self._states |= {name: told.get(str(job.state), str(job.state)) for name, job in self._jobs.items()}


def _executor(how: SubmititConfig, folder: Path) -> Any:
    """WorkersFailed where submitit is not installed, or finds no Slurm."""
    try:
        import submitit
    except ImportError:
        raise WorkersFailed("engine.executor=submitit needs submitit: pip install submitit") from None
    slurm = {
        "slurm_partition": how.partition, "slurm_gpus_per_node": how.gpus or None, "slurm_mem": how.mem,
        "slurm_array_parallelism": how.workers, "slurm_additional_parameters": how.parameters or None,
        "slurm_setup": how.setup or None, "slurm_cpus_per_task": how.cpus,
    }  # fmt: skip
    try:
        executor = submitit.AutoExecutor(folder, cluster=how.cluster, slurm_max_num_timeout=how.requeues)
        executor.update_parameters(
            name="mech_music",
            timeout_min=how.time,
            **{key: value for key, value in slurm.items() if value is not None},
        )
    except (RuntimeError, ValueError) as error:
        raise WorkersFailed(f"engine.executor=submitit: {first_line(error)}") from error
    return executor


def _told(error: BaseException) -> str:
    """What sbatch said."""
    said = [line for line in str(error).splitlines() if line.strip()]
    return next((line for line in said if "error" in line.lower()), said[-1] if said else type(error).__name__)


def _run_command(*words: str) -> str | None:
    """What a command prints; None where it fails (the scheduler may be away for a while)."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
