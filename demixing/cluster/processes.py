"""Workers on this machine: processes of their own, because a song may end the one that does it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType

from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import Event, Finished, Lost, Ready
from demixing.cluster.work import Job, Outcome, Worker
from demixing.machine import threads
from demixing.process import pool

ENDED = "its process ended; is there too little memory?"


class Processes:
    """An engine of worker processes; see :class:`demixing.cluster.dispatch.Engine`.

    Args:
        job: of the batch.
        count: number of workers, which share the processors.
        environment: added to that of the workers.
    """

    def __init__(self, job: Job, count: int, environment: Mapping[str, str]) -> None:
        share = threads.environment(max(threads.chosen() // count, 1))
        level = logging.getLogger().getEffectiveLevel()
        self._begin = ({**share, **environment}, os.getpid(), job, level)
        self._count = count
        self._numbers = itertools.count()
        self._pools: dict[int, concurrent.futures.ProcessPoolExecutor] = {}
        self._futures: dict[Future[Outcome | None], int] = {}
        self._gone: list[int] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def wanted(self) -> int:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        return self._count

    def start(self) -> int:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        worker = next(self._numbers)
        self._pools[worker] = self._stack.enter_context(pool.workers(1, _begin, *self._begin))
        self._submit(worker, _get_ready)
        return worker

    def submit(self, worker: int, item: Item) -> None:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        self._submit(worker, _do, item)

    def wait(self, seconds: float) -> Sequence[Event]:
        """See :class:`demixing.cluster.dispatch.Engine`."""
        gone, self._gone = self._gone, []
        first = concurrent.futures.FIRST_COMPLETED
        done, _ = concurrent.futures.wait(self._futures, 0 if gone else seconds, first)
        found: list[Event] = []
        for future in [one for one in self._futures if one in done]:  # oldest songs first
            found += self._event(future)
        # Last: a worker may have finished a song before it ended.
        return found + [Lost(worker, ENDED) for worker in gone]

    def _submit(self, worker: int, call: Callable[..., Outcome | None], *given: object) -> None:
        """Call a function in a worker."""
        if worker not in self._pools:  # its loss is about to be reported
            return
        try:
            with pool.interrupts_wait():  # a new process inherits it
                self._futures[self._pools[worker].submit(call, *given)] = worker
        except concurrent.futures.BrokenExecutor:  # it ended since the last song
            del self._pools[worker]
            self._gone.append(worker)

    def _event(self, future: Future[Outcome | None]) -> list[Event]:
        """What a finished call means; nothing for further calls of a lost worker."""
        worker = self._futures.pop(future)
        try:
            outcome = future.result()
        except (concurrent.futures.BrokenExecutor, concurrent.futures.CancelledError):
            return [Lost(worker, ENDED)] if self._pools.pop(worker, None) else []
        return [Ready(worker) if outcome is None else Finished(worker, outcome)]


# In workers


_worker: Worker


def _begin(environment: Mapping[str, str], parent: int, job: Job, level: int) -> None:
    """Set up a worker; see :func:`demixing.process.pool.begin_worker`."""
    global _worker
    pool.begin_worker(environment, parent, level)
    _worker = Worker(job)


def _get_ready() -> None:
    """Load the weights."""
    with pool.interruptible():
        _worker.get_ready()


def _do(item: Item) -> Outcome:
    """Do one song."""
    with pool.interruptible():
        return _worker.do(item)
