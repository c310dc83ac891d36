"""How much other processes slow this machine down, as the kernel tells it.

Linux counts for each thread how long it ran and how long it was ready to run but had to wait for
a processor. Their ratio tells a busy machine from a slow separator: a measured time divided by
the slowdown is what an idle machine would have needed. Where the counters are missing, machines
are taken to be idle.

Source: Linux, Documentation/scheduler/sched-stats.rst, ``/proc/<pid>/schedstat``.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

LEAST_RUN_S = 0.05
"""A slowdown measured over less running time than this is noise."""

MOST = 100.0
"""Larger slowdowns are taken to be this: no plan survives them anyway."""


class Turns(NamedTuple):
    """What a thread has had of the processors so far.

    Attributes:
        ran_s: seconds on a processor.
        waited_s: seconds ready to run, while other threads had the processors.
    """

    ran_s: float
    waited_s: float


class Contention:
    """Compares how long the threads of a process ran and waited.

    Args:
        pid: of the process; None is this one.
        proc: where the kernel tells about processes.
    """

    def __init__(self, pid: int | None = None, proc: Path = Path("/proc")) -> None:
        self._tasks = proc / ("self" if pid is None else str(pid)) / "task"
        self._before = self._read()

    def restart(self) -> None:
        """Measure from now on."""
        self._before = self._read()

    def slowdown(self) -> float | None:
        """Seconds per second of an idle machine since the start; None if too little ran."""
        ran_s = waited_s = 0.0
        for turns in self._since().values():
            ran_s += turns.ran_s
            waited_s += turns.waited_s
        if ran_s < LEAST_RUN_S:
            return None
        return min((ran_s + waited_s) / ran_s, MOST)

    def longest_wait_s(self) -> float:
        """Seconds that the thread which waited longest has waited since the start."""
        return max((turns.waited_s for turns in self._since().values()), default=0.0)

    def _since(self) -> dict[str, Turns]:
        """By thread, what it has had since the start."""
        none = Turns(0.0, 0.0)
        return {
            thread: Turns(*(now - then for now, then in zip(turns, before, strict=True)))
            for thread, turns in self._read().items()
            for before in [self._before.get(thread, none)]
        }

    def _read(self) -> dict[str, Turns]:
        """By thread, what it has had so far; nothing where the kernel does not tell."""
        found: dict[str, Turns] = {}
        with contextlib.suppress(OSError):
            for task in self._tasks.iterdir():
                found.update(_turns_of(task))
        return found


def _turns_of(task: Path) -> Iterator[tuple[str, Turns]]:
    """Yield the name and the turns of one thread, unless it has just ended."""
    with contextlib.suppress(OSError, ValueError):
        ran_ns, waited_ns = (task / "schedstat").read_text(encoding="ascii").split()[:2]
        yield task.name, Turns(int(ran_ns) / 1e9, int(waited_ns) / 1e9)


def idle_s(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Run ``call`` and return the seconds that it would take on an idle machine.

    Args:
        call: what to time.
        clock: returns seconds.
    """
    contention, started_s = Contention(), clock()
    call()
    return (clock() - started_s) / (contention.slowdown() or 1.0)
