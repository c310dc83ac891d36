"""A control group for a submission: the kernel counts and limits what it uses.

It counts all memory: also files in memory, and memory that no process has open. Version 2 is used
where a group above this process hands its controllers down, as systemd arranges for its users;
version 1 where its folders can be written to, mostly by root.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/{memory,pids}.rst,
Documentation/scheduler/sched-bwc.rst.
"""

import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from demixing.machine.linux import control_groups, lines

PREFIX = "demixing-grade-"
PERIOD_US = 100_000
"""Time in which a share of the processors is counted."""

PROCESSES = "cgroup.procs"
NEEDED = frozenset({"memory", "pids"})
REMOVAL_S = 5.0
"""Time to wait for the last process to leave a group."""

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a group may use.

    Attributes:
        memory_bytes: memory, including files in memory.
        processes: processes and threads at a time.
        cpus: number of processors; need not be whole.
    """

    memory_bytes: int
    processes: int
    cpus: float

    def files(self, version: int) -> Mapping[str, Mapping[str, str]]:
        """Files to write, by controller; those that begin with ``?`` may be missing."""
        memory = str(self.memory_bytes)
        quota_us = str(round(self.cpus * PERIOD_US))
        if version == 2:
            return {
                "memory": {
                    "memory.max": memory,
                    "?memory.swap.max": "0",
                    "?memory.oom.group": "1",
                },
                "pids": {"pids.max": str(self.processes)},
                "cpu": {"cpu.max": f"{quota_us} {PERIOD_US}"},
            }
        return {
            "memory": {
                "memory.limit_in_bytes": memory,
                "?memory.memsw.limit_in_bytes": memory,
            },
            "pids": {"pids.max": str(self.processes)},
            "cpu": {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": quota_us},
        }


@dataclass(frozen=True, slots=True)
class Group:
    """A group that limits memory and processes, and processors where that is possible.

    Attributes:
        folders: one by controller in version 1; always the same one in version 2.
        version: 1 or 2.
    """

    folders: Mapping[str, Path]
    version: int

    @classmethod
    def make(cls, limits: Limits, root: Path = Path("/")) -> Self | None:
        """Make a group below that of this process; None if that is not allowed.

        Args:
            limits: its limits.
            root: root of the file system, for tests.
        """
        for version in (2, 1):
            folders = _made(version, limits, root)
            group = cls(folders, version)
            if folders.keys() >= NEEDED and group.can_be_joined():
                return group
            group.remove()
        return None

    @property
    def limited(self) -> frozenset[str]:
        """Names of the controllers at work."""
        return frozenset(self.folders)

    def join(self) -> None:
        """Move this process into the group; its children will be in it, too."""
        for folder in set(self.folders.values()):
            (folder / PROCESSES).write_text("0", encoding="ascii")

    def can_be_joined(self) -> bool:
        """Try it with a program that does nothing, because the kernel may refuse it."""
        try:
            return subprocess.run(["true"], preexec_fn=self.join, check=False).returncode == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def memory_bytes(self) -> int:
        """Memory in use, without cached files on a disk."""
        names = ("anon", "shmem") if self.version == 2 else ("total_rss", "total_shmem")
        return sum(_numbers_in(self.folders["memory"] / "memory.stat", names))

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of the group because its memory was full."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return sum(_numbers_in(self.folders["memory"] / name, ("oom_kill",))) > 0

    def remove(self) -> None:
        """Remove the group, whose processes have been killed."""
        left = _removed(self.folders.values())
        end_s = time.monotonic() + REMOVAL_S
        while left and time.monotonic() < end_s:
            time.sleep(0.02)
            left = _removed(left)


def _made(version: int, limits: Limits, root: Path) -> dict[str, Path]:
    """Make the folders of a group with its limits; only of controllers that can be used."""
    name = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
    found: dict[str, Path] = {}
    for controller, files in limits.files(version).items():
        parents = [found["memory"].parent] if version == 2 and found else []
        for parent in parents or _parents(controller, version, root):
            with contextlib.suppress(OSError):
                _clear(parent)
                folder = parent / name
                folder.mkdir(exist_ok=version == 2 and bool(parents))
                if _limited(folder, files):
                    found[controller] = folder
                    break
                if folder not in found.values():
                    folder.rmdir()
    return found


def _parents(controller: str, version: int, root: Path) -> Iterator[Path]:
    """Folders in which a group may be made, the nearest first."""
    for group in control_groups(controller, root):
        if group.version != version or not os.access(group.folder / PROCESSES, os.W_OK):
            continue
        if version == 2 and not {*_words(group.folder / "cgroup.subtree_control")} >= NEEDED:
            continue
        yield group.folder


def _limited(folder: Path, files: Mapping[str, str]) -> bool:
    """Write limits; return whether all that are needed were accepted."""
    for name, value in files.items():
        path = folder / name.removeprefix("?")
        try:
            with path.open("r+", encoding="ascii") as file:
                file.write(value)
        except OSError:
            if not name.startswith("?"):
                return False
    return True


def _clear(parent: Path) -> None:
    """Remove the empty groups of graders that were killed."""
    for left in parent.glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            _removed([left])


def _removed(folders: Iterable[Path]) -> list[Path]:
    """Remove groups; return those that still have processes."""
    left = []
    for folder in dict.fromkeys(folders):
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            left.append(folder)
    return left


def _words(path: Path) -> list[str]:
    """Words of a small file; none if it cannot be read."""
    return [word for line in lines(path) for word in line.split()]


def _numbers_in(path: Path, names: Sequence[str]) -> Iterator[int]:
    """The numbers after some names in a file of lines ``name number``."""
    for line in lines(path):
        name, _, number = line.partition(" ")
        if name in names and number.isdecimal():
            yield int(number)
