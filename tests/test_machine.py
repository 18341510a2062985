"""The memory that a control group leaves: both versions, nested, and as containers see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mech_music.base.machine import free_memory

GB = 10**9
V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "31 24 0:27 {root} /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory"
CPU = "32 24 0:28 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu"
DISK = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw"


class Machine:
    """Its ``/proc`` and ``/sys``, with 24 GB free."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", f"MemTotal: 32000000 kB\nMemAvailable:   {24 * GB // 1024} kB\n")

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def groups(self, own: str, *mounts: str) -> None:
        self.write("proc/self/cgroup", own)
        self.write("proc/self/mountinfo", "\n".join([DISK, *mounts]) + "\n")

    def v2(self, path: str, limit: str, used: int, inactive: int = 0) -> None:
        folder = f"sys/fs/cgroup/{path}"
        self.write(f"{folder}/memory.max", f"{limit}\n")
        self.write(f"{folder}/memory.current", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"anon 1\ninactive_file {inactive}\n")

    def v1(self, path: str, limit: int, used: int, inactive: int = 0) -> None:
        folder = f"sys/fs/cgroup/memory/{path}"
        self.write(f"{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{folder}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"cache 1\ninactive_file 0\ntotal_inactive_file {inactive}\n")

    @property
    def free(self) -> float | None:
        """GB."""
        free = free_memory(self.root)
        return None if free is None else round(free / GB, 2)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_without_groups(machine: Machine) -> None:
    assert machine.free == 24.0


def test_no_machine_that_is_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None


def test_a_container_s_own_group(machine: Machine) -> None:
    machine.groups("0::/\n", V2.format(root="/"))
    machine.v2(".", str(2 * GB), GB // 2)
    assert machine.free == 1.5
    machine.v2(".", "max", GB // 2)
    assert machine.free == 24.0


def test_a_limit_of_a_group_around_this_one(machine: Machine) -> None:
    """A step of a Slurm job: the job has the limit."""
    machine.groups("0::/slurm/job_7/step_0\n", V2.format(root="/"))
    machine.v2("slurm/job_7/step_0", "max", GB)
    machine.v2("slurm/job_7", str(3 * GB), 2 * GB)
    machine.v2("slurm", str(20 * GB), 2 * GB)
    machine.v2("other", str(GB), GB)
    assert machine.free == 1.0


def test_version_1(machine: Machine) -> None:
    machine.groups("5:cpu,cpuacct:/x\n4:memory:/slurm/job_7/step_0\n0::/y\n", V1.format(root="/"), CPU)
    machine.v1("slurm/job_7/step_0", 2**63 - 4096, GB)
    machine.v1("slurm/job_7", 2 * GB, GB)
    machine.v1(".", 2**63 - 4096, 9 * GB)
    assert machine.free == 1.0


@pytest.mark.parametrize("own", ["/docker/abc", "/docker/abc/inner", "/elsewhere", "/../other"])
def test_a_mount_that_begins_at_the_group(machine: Machine, own: str) -> None:
    """As a container without a name space of its own sees it; or with a group that is not mounted at all."""
    machine.groups(f"4:memory:{own}\n", V1.format(root="/docker/abc"))
    machine.v1(".", 2 * GB, GB)
    assert machine.free == 1.0


def test_files_that_the_kernel_would_drop_are_not_in_use(machine: Machine) -> None:
    machine.groups("0::/a\n4:memory:/b\n", V2.format(root="/"), V1.format(root="/"))
    machine.v2("a", str(4 * GB), 3 * GB, inactive=2 * GB)
    assert machine.free == 3.0
    machine.v1("b", 4 * GB, 3 * GB, inactive=GB)
    assert machine.free == 2.0


def test_more_in_use_than_allowed(machine: Machine) -> None:
    machine.groups("0::/\n", V2.format(root="/"))
    machine.v2(".", str(GB), 2 * GB)
    assert machine.free == 0.0
