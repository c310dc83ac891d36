"""How many threads this process may use: what the container grants, not what the machine has.

A container with a quota of two cores on a machine of sixty sees sixty; sixty threads then take
turns on two cores, and each waits for the others by spinning. So the quota of the control group
and the affinity mask decide, whichever is smaller.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and
Documentation/scheduler/sched-bwc.rst (``cpu.cfs_quota_us``).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

THREADS_VARIABLE = "DEMIX_THREADS"
"""Environment variable that overrules the number of threads."""


def allowed(root: Path = Path("/")) -> int:
    """Number of threads that can run at the same time, at least one.

    Args:
        root: of the file system, for tests.
    """
    quotas = [math.ceil(cores) for cores in cgroup_cores(root)]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def chosen(root: Path = Path("/")) -> int:
    """Number of threads to use: that of an environment variable, or else :func:`allowed`."""
    for variable in (THREADS_VARIABLE, "OMP_NUM_THREADS"):
        wish = os.environ.get(variable, "")
        if wish.isdecimal() and int(wish) > 0:
            return int(wish)
    return allowed(root)


def cgroup_cores(root: Path = Path("/")) -> Iterator[float]:
    """Yield the quota, in cores, of this process's control group and of each one above it.

    Every group on the way to the top may have a limit, and the tightest one binds. In a container
    the path from ``/proc/self/cgroup`` may not exist, because the container's own group is mounted
    as the top; then only the top is there to be read.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mount, read = root / "sys/fs/cgroup", _version_2
        elif "cpu" in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controllers
            mount = mount if mount.is_dir() else root / "sys/fs/cgroup/cpu"
            read = _version_1
        else:
            continue
        inner = Path(path.lstrip("/"))
        for group in (inner, *inner.parents):
            yield from read(mount / group)


def _version_2(group: Path) -> Iterator[float]:
    """Yield the quota of a group of version 2, if it has one: ``max 100000`` is none."""
    for line in _lines(group / "cpu.max"):
        quota, _, period = line.partition(" ")
        yield from _ratio(quota, period or "100000")


def _version_1(group: Path) -> Iterator[float]:
    """Yield the quota of a group of version 1, if it has one: -1 is none."""
    quota = "".join(_lines(group / "cpu.cfs_quota_us")[:1])
    period = "".join(_lines(group / "cpu.cfs_period_us")[:1])
    yield from _ratio(quota, period)


def _ratio(quota: str, period: str) -> Iterator[float]:
    """Yield quota over period if both are positive whole numbers."""
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        yield int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    """Lines of a small file; none where it is missing or not ours to read."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
