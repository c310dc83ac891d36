"""How many threads this process uses: what the container grants, not what the machine has.

A container with a quota of two cores on a machine of sixty sees sixty; sixty threads then take
turns on two cores, and each waits for the others by spinning. So the quota of the control group
or the affinity mask decides, whichever is smaller.

The number is set here and nowhere else: a process of ours calls :func:`use` before it builds
networks, and :func:`environment` gives a number to the processes that it starts. All other code,
ONNX models included, asks torch for the number.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and
Documentation/scheduler/sched-bwc.rst (``cpu.cfs_quota_us``).
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from demixing.machine.linux import ControlGroup, control_groups, lines

THREADS_VARIABLE = "DEMIX_THREADS"
"""Environment variable that overrides the number of threads."""

OPENMP_VARIABLE = "OMP_NUM_THREADS"
"""OpenMP's own variable, read when torch is loaded; it also sets threads outside of networks."""


def allowed(root: Path = Path("/")) -> int:
    """Number of threads that can run at the same time, at least one.

    Args:
        root: of the file system, for tests.
    """
    quotas = [math.ceil(cores) for cores in cgroup_cores(root)]
    return max(1, min([_processors(), *quotas]))


def chosen(root: Path = Path("/")) -> int:
    """Number of threads to use: that of an environment variable, or else :func:`allowed`."""
    for variable in (THREADS_VARIABLE, OPENMP_VARIABLE):
        wish = os.environ.get(variable, "")
        if wish.isdecimal() and int(wish) > 0:
            return int(wish)
    return allowed(root)


def use() -> None:
    """Let torch use :func:`chosen` threads. For programs, which own their process."""
    import torch

    torch.set_num_threads(chosen())


def limit() -> None:
    """Let torch use no more than :func:`chosen` threads. For the library: it never adds threads."""
    import torch

    if torch.get_num_threads() > chosen():
        torch.set_num_threads(chosen())


def wait_passively() -> None:
    """Let waiting threads sleep instead of spin, unless the environment says otherwise.

    For programs, before they import torch: OpenMP reads the variable when it is loaded. Threads
    that spin make two processes on the same two cores seven times slower, and gain nothing where
    there is one process: docs/decisions/002-precision-and-speed.md.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def environment(count: int) -> dict[str, str]:
    """Environment variables that give ``count`` threads to a new process and all that it starts."""
    return {THREADS_VARIABLE: str(count), OPENMP_VARIABLE: str(count)}


def cgroup_cores(root: Path = Path("/")) -> Iterator[float]:
    """Yield the quota, in cores, of this process's control group and of each one above it."""
    for group in control_groups("cpu", root):
        yield from (_version_2 if group.version == 2 else _version_1)(group)


def _processors() -> int:
    """Processors that this process may run on, as far as the system says."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version_2(group: ControlGroup) -> Iterator[float]:
    """Yield the quota of a group of version 2, if it has one: ``max 100000`` is none."""
    for line in lines(group.folder / "cpu.max"):
        quota, _, period = line.partition(" ")
        yield from _ratio(quota, period or "100000")


def _version_1(group: ControlGroup) -> Iterator[float]:
    """Yield the quota of a group of version 1, if it has one: -1 is none."""
    quota = "".join(lines(group.folder / "cpu.cfs_quota_us")[:1])
    period = "".join(lines(group.folder / "cpu.cfs_period_us")[:1])
    yield from _ratio(quota, period)


def _ratio(quota: str, period: str) -> Iterator[float]:
    """Yield quota over period if both are positive whole numbers."""
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        yield int(quota) / int(period)
