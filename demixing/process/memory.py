"""Memory limits: when to end a process before the kernel kills the container.

A container gets no warning before it reaches its limit: the kernel kills one of its processes, and
some grading servers then kill all of them. Files under ``/proc`` and ``/sys`` show how much memory
is left; on systems without them, no limit is known.

Source: Linux, Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

from demixing.machine.linux import control_groups, lines

NEAR = 0.08
"""Memory is nearly full if less than this fraction of the limit is left..."""

NEAR_BYTES = 1 << 30
"""...and less than this, which no process allocates between two checks."""

FILES = {
    1: ("memory.usage_in_bytes", "memory.limit_in_bytes"),
    2: ("memory.current", "memory.max"),
}
"""Files of a control group, by its version: the bytes in use, and the limit."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Memory:
    """Reads the limits that apply to this process and its children.

    Args:
        root: root of the file system, for tests.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._groups = list(_groups(root))

    def pressing(self, pid: int) -> str | None:
        """Why process ``pid`` must end now; None if it may continue.

        It must end if memory is nearly full and it uses a large part of it.
        """
        for used, limit in self._readings():
            enough = min(NEAR * limit, NEAR_BYTES)
            if limit - used < enough <= self.resident_bytes(pid):
                return f"memory is full: {used / 2**30:.1f} of {limit / 2**30:.1f} GiB are used"
        return None

    def free_bytes(self) -> float:
        """Memory left below the tightest limit; infinite if none is known."""
        return min((limit - used for used, limit in self._readings()), default=math.inf)

    def resident_bytes(self, pid: int) -> int:
        """Physical memory of a process; 0 if it cannot be read."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int((self._proc / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES
        return 0

    def _readings(self) -> Iterator[tuple[float, float]]:
        """Yield bytes in use and the limit, of the machine and of each control group."""
        table = _table(self._proc / "meminfo")
        total = table.get("MemTotal:", math.inf)
        if "MemAvailable:" in table and total < math.inf:
            yield 1024 * (total - table["MemAvailable:"]), 1024 * total
        for used, limit, stat in self._groups:
            with contextlib.suppress(OSError, ValueError):  # for "max", which means no limit
                bytes_, most = int(used.read_text()), int(limit.read_text())
                if most < 1024 * total:
                    yield bytes_ - _cached(stat), most


def _groups(root: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the files with use, limit and statistics of each control group of this process."""
    for version, folder in control_groups("memory", root):
        used, limit = FILES[version]
        if (folder / limit).is_file():
            yield folder / used, folder / limit, folder / "memory.stat"


def _cached(stat: Path) -> float:
    """Bytes of cached files, which the kernel frees before it kills a process."""
    table = _table(stat)
    kinds = ("inactive_file", "active_file")
    # In version 1, sums over subgroups have other names.
    return sum(table.get(f"total_{kind}", table.get(kind, 0)) for kind in kinds)


def _table(path: Path) -> dict[str, float]:
    """Read lines that consist of a name and a number."""
    rows = map(str.split, lines(path))
    return {row[0]: float(row[1]) for row in rows if len(row) > 1}
