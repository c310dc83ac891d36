"""Measures how much other processes slow this process down, from kernel counters.

For each thread, Linux counts how long it ran and how long it was ready to run but had to wait for a
processor. Their ratio distinguishes a busy machine from a slow separator: a measured time divided
by the slowdown is the time on an idle machine. A machine without these counters is assumed to be
idle.

Source: Linux, Documentation/scheduler/sched-stats.rst, ``/proc/<pid>/schedstat``.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

LEAST_RUN_S = 0.05
"""Minimum running time; over less, a slowdown is only noise."""

MOST = 100.0
"""Upper limit of the slowdown; planning is pointless beyond it."""


class ThreadTime(NamedTuple):
    """Running and waiting time of a thread so far.

    Attributes:
        ran_s: seconds on a processor.
        waited_s: seconds ready to run while other threads had the processors.
    """

    ran_s: float
    waited_s: float


class Contention:
    """Compares the running and waiting times of a process's threads.

    Args:
        pid: of the process; None: this one.
        proc: where the proc file system is mounted.
    """

    def __init__(self, pid: int | None = None, proc: Path = Path("/proc")) -> None:
        self._tasks = proc / ("self" if pid is None else str(pid)) / "task"
        self._before = self._read()

    def restart(self) -> None:
        """Restart the measurement."""
        self._before = self._read()

    def slowdown(self) -> float | None:
        """Slowdown against an idle machine since the start; None if unknown."""
        ran_s = waited_s = 0.0
        for times in self._since().values():
            ran_s += times.ran_s
            waited_s += times.waited_s
        if ran_s < LEAST_RUN_S:
            return None
        return min((ran_s + waited_s) / ran_s, MOST)

    def longest_wait_s(self) -> float:
        """Longest waiting time of any thread since the start, in seconds."""
        return max((times.waited_s for times in self._since().values()), default=0.0)

    def _since(self) -> dict[str, ThreadTime]:
        """Times by thread since the start."""
        none = ThreadTime(0.0, 0.0)
        return {
            thread: ThreadTime(*(now - then for now, then in zip(times, before, strict=True)))
            for thread, times in self._read().items()
            for before in [self._before.get(thread, none)]
        }

    def _read(self) -> dict[str, ThreadTime]:
        """Times by thread so far; empty if the kernel does not count them."""
        found: dict[str, ThreadTime] = {}
        with contextlib.suppress(OSError):
            for task in self._tasks.iterdir():
                found.update(_time_of(task))
        return found


def _time_of(task: Path) -> Iterator[tuple[str, ThreadTime]]:
    """Yield the name and times of one thread, unless it has just ended."""
    with contextlib.suppress(OSError, ValueError):
        ran_ns, waited_ns = (task / "schedstat").read_text(encoding="ascii").split()[:2]
        yield task.name, ThreadTime(int(ran_ns) / 1e9, int(waited_ns) / 1e9)


def idle_s(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Run ``call`` and return the seconds that it would take on an idle machine.

    Args:
        call: what to time.
        clock: returns seconds.
    """
    contention, started_s = Contention(), clock()
    call()
    return (clock() - started_s) / (contention.slowdown() or 1.0)
