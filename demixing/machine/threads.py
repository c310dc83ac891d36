"""The number of threads of this process: the container's share, not the whole machine.

A container with a quota of two cores on a machine with sixty sees sixty. Sixty threads would take
turns on two cores, spinning while they wait for each other. So the number is the quota of the
control group or the affinity mask, whichever is smaller.

The number is set only here: each of our processes calls :func:`use` before it builds networks, and
:func:`environment` passes a number to the processes that it starts. All other code, including ONNX
models, reads the number from torch.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and
Documentation/scheduler/sched-bwc.rst (``cpu.cfs_quota_us``).
"""

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from demixing.machine.linux import ControlGroup, control_groups, lines

THREADS_VARIABLE = "DEMIX_THREADS"
"""Environment variable: overrides the number of threads."""

OPENMP_VARIABLE = "OMP_NUM_THREADS"
"""OpenMP's own variable, read when torch is loaded; also sets threads outside of networks."""


def allowed(root: Path = Path("/")) -> int:
    """Number of threads that can run at the same time; at least one.

    Args:
        root: of the file system, for tests.
    """
    quotas = [math.ceil(cores) for cores in cgroup_cores(root)]
    return max(1, min([_processors(), *quotas]))


def chosen(root: Path = Path("/")) -> int:
    """Number of threads to use: from an environment variable, otherwise :func:`allowed`."""
    for variable in (THREADS_VARIABLE, OPENMP_VARIABLE):
        wish = os.environ.get(variable, "")
        if wish.isdecimal() and int(wish) > 0:
            return int(wish)
    return allowed(root)


def use() -> None:
    """Make torch use :func:`chosen` threads. For programs, which own their process."""
    import torch

    torch.set_num_threads(chosen())


def limit() -> None:
    """Limit torch to :func:`chosen` threads. For the library, which never adds threads."""
    import torch

    if torch.get_num_threads() > chosen():
        torch.set_num_threads(chosen())


def wait_passively() -> None:
    """Make waiting threads sleep instead of spin, unless the environment sets this.

    For programs, before they import torch: OpenMP reads the variable when it is loaded. Spinning
    threads make two processes on the same two cores seven times slower, and gain nothing with one
    process: docs/decisions/002-precision-and-speed.md.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "darwin":  # read at the same moment: the CPU does what Apple's GPU lacks
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")


def environment(count: int) -> dict[str, str]:
    """Environment that gives ``count`` threads to a new process and all its children."""
    return {THREADS_VARIABLE: str(count), OPENMP_VARIABLE: str(count)}


@contextlib.contextmanager
def single() -> Iterator[None]:
    """Start no threads in this context, nor let libraries that are loaded in it start any."""
    kept = {name: os.environ.get(name) for name in environment(1)}
    os.environ.update(environment(1))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def cgroup_cores(root: Path = Path("/")) -> Iterator[float]:
    """Yield the quota in cores of this process's control group and of each one above it."""
    for group in control_groups("cpu", root):
        yield from (_version_2 if group.version == 2 else _version_1)(group)


def _processors() -> int:
    """Number of processors that this process may run on, if the system reports it."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version_2(group: ControlGroup) -> Iterator[float]:
    """Yield the quota of a version 2 group, if it has one; ``max 100000`` means none."""
    for line in lines(group.folder / "cpu.max"):
        quota, _, period = line.partition(" ")
        yield from _ratio(quota, period or "100000")


def _version_1(group: ControlGroup) -> Iterator[float]:
    """Yield the quota of a version 1 group, if it has one; -1 means none."""
    quota = "".join(lines(group.folder / "cpu.cfs_quota_us")[:1])
    period = "".join(lines(group.folder / "cpu.cfs_period_us")[:1])
    yield from _ratio(quota, period)


def _ratio(quota: str, period: str) -> Iterator[float]:
    """Yield quota / period if both are positive whole numbers."""
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        yield int(quota) / int(period)
