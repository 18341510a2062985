"""A Slurm cluster of several nodes on this machine: its own munged, slurmctld and one slurmd for each node.

Needs slurmctld, slurmd and munged (Debian: slurm-wlm, munge) and root; nothing of the system's own Slurm is touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdTimeout=10
KillWait=3
InactiveLimit=0
MinJobAge=300
SchedulerParameters=sched_interval=2,batch_sched_delay=1,bf_interval=2
NodeName=node[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs={cpus} RealMemory=1000000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
"""


def missing() -> str:
    """Why this cluster cannot be had here; nothing if it can."""
    if lacking := [name for name in NEEDED if shutil.which(name) is None]:
        return f"needs {', '.join(lacking)} (Debian: apt install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "a Slurm of one's own needs root"


class Slurm:
    """The cluster, from `start` to `stop`. ``folder``: on a disk that every user may enter."""

    def __init__(self, folder: Path, nodes: int = 4, cpus: int = 2) -> None:
        self.folder, self.nodes, self.conf = folder, [f"node{n + 1}" for n in range(nodes)], folder / "slurm.conf"
        for place in (folder, folder / "state", *(folder / f"spool-{node}" for node in self.nodes)):
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o755)
        port, first = _free_port(), _free_port()
        self.conf.write_text(
            CONF.format(
                host=socket.gethostname(),
                port=port,
                folder=folder,
                nodes=nodes,
                cpus=cpus,
                first=first,
                last=first + nodes - 1,
            )
        )
        (folder / "munge.key").write_bytes(secrets.token_bytes(64))
        (folder / "munge.key").chmod(0o400)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """All daemons; returns when every node takes jobs."""
        os.environ["SLURM_CONF"] = str(self.conf)
        munge = [f"--{part}={self.folder}/munge.{end}" for part, end in MUNGE]
        self._begin("munged", "munged", "--foreground", "--force", *munge)
        time.sleep(0.5)
        self._begin("slurmctld", "slurmctld", "-D")
        for node in self.nodes:
            self.start_node(node)
        self.wait_for(lambda: self.states() == {"IDLE"})

    def start_node(self, node: str) -> None:
        self._begin(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """As when its power is cut: the daemon, and every process of its jobs."""
        daemon = self._processes.pop(node)
        daemon.kill()
        daemon.wait()
        for process in processes_of(node):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def states(self) -> set[str]:
        """Of the nodes."""
        shown = subprocess.run(["sinfo", "-h", "-N", "-o", "%T"], capture_output=True, text=True).stdout
        return {line.strip().upper() for line in shown.splitlines()}

    @staticmethod
    def jobs() -> dict[str, str]:
        """The states of the jobs that wait or run."""
        shown = subprocess.run(["squeue", "-h", "--array", "-o", "%i %T"], capture_output=True, text=True).stdout
        return {line.split()[0]: line.split()[1] for line in shown.splitlines()}

    @staticmethod
    def wait_for(condition: object, seconds: float = 90) -> None:
        assert callable(condition)
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the cluster did not get there"
            time.sleep(0.2)

    def _begin(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._processes[name] = subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        subprocess.run(["scancel", "--user=root"], capture_output=True)
        time.sleep(1)
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.environ.pop("SLURM_CONF", None)


MUNGE = (("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed"))


def processes_of(node: str, only: str = "") -> list[int]:
    """The processes of a node's jobs; of those whose command line has ``only`` in it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            environment, words = (place / "environ").read_bytes(), (place / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if f"SLURMD_NODENAME={node}\0".encode() in environment and only in words:
            found.append(int(place.name))
    return found


def catches(process: int, number: int) -> bool:
    """Whether a process does something of its own at a signal."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _free_port() -> int:
    """The first of a few ports that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(probe.getsockname()[1], 60000)
