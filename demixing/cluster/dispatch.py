"""Hands songs to workers, wherever these run, and copes with workers that are lost.

A worker gets few songs at a time, so a fast one gets more, and a lost one loses little. If it is
lost, another takes its place, and its songs go to other workers. A song whose worker was lost too
often is recorded as failed: it may be what ends them. A song that failed for a reason that may
pass, such as a store that did not answer, is also tried again, after a wait. If all songs fail for
such reasons, no more are begun for a while.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from demixing.cluster.catalogue import Item
from demixing.cluster.waits import Clock, Pauses, before
from demixing.cluster.work import DONE, FAILED, THERE, Outcome
from demixing.errors import OutputError

logger = logging.getLogger(__name__)

IN_FLIGHT = 2
"""Songs of a worker: one that it does, and one that waits, so that it never idles."""

WAIT_S = 1.0

MOST_LOST = 20
"""Workers that may be lost one after the other, without a song done, before the run ends; besides
as many as there were at a time, because a machine with many may be lost."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has loaded its weights."""

    worker: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A worker has finished the oldest of its songs."""

    worker: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker, its machine or the connection to it is gone."""

    worker: int
    reason: str


Event = Ready | Finished | Lost


class Engine(Protocol):
    """Where workers run."""

    def wanted(self) -> int:
        """How many workers there is room for now; at least one."""

    def start(self) -> int:
        """Begin to start a worker and return its number, which is new."""

    def submit(self, worker: int, item: Item) -> None:
        """Give a song to a worker that is ready; it does them in this order."""

    def wait(self, seconds: float) -> Sequence[Event]:
        """What happened, as soon as something does; nothing after some seconds.

        Raises:
            DemixError: no worker can do this task.
        """


@dataclass(slots=True)
class _Try:
    """A song, how often it failed, when it may be tried again, and whether it was begun before."""

    item: Item
    failed: int = 0
    due_s: float = 0.0
    begun: bool = False


@dataclass(slots=True)
class Dispatcher:
    """Does all songs of a batch.

    Attributes:
        engine: where workers run.
        tries: how often a song is tried at most.
        in_flight: songs of a worker at a time.
        clock: where time comes from.
    """

    engine: Engine
    tries: int = 3
    in_flight: int = IN_FLIGHT
    clock: Clock = field(default_factory=Clock)
    _waiting: deque[_Try] = field(default_factory=deque)
    _later: list[_Try] = field(default_factory=list)
    _starting: set[int] = field(default_factory=set)
    _busy: dict[int, deque[_Try]] = field(default_factory=dict)
    _lost: int = 0
    _most_workers: int = 0
    _pauses: Pauses = field(init=False)

    def __post_init__(self) -> None:
        self._pauses = Pauses(self.clock)

    def run(self, items: Sequence[Item]) -> Iterator[tuple[Item, Outcome]]:
        """Do songs, and yield each once, when it is finished.

        Raises:
            DemixError: no worker can do this task, every worker is lost, or no song can be written.
        """
        self._waiting = deque(map(_Try, items))
        while self._unfinished():
            self._start_workers()
            self._take_due()
            self._hand_out()
            for event in self._wait():
                yield from self._handled(event)

    def _unfinished(self) -> int:
        """Number of songs that are not finished."""
        return len(self._waiting) + len(self._later) + self._given()

    def _given(self) -> int:
        """Number of songs that workers have."""
        return sum(map(len, self._busy.values()))

    def _take_due(self) -> None:
        """Songs that failed wait with the others when their time has come."""
        if self._later:
            now_s = self.clock.now()
            self._waiting += [one for one in self._later if one.due_s <= now_s]
            self._later = [one for one in self._later if one.due_s > now_s]

    def _wait(self) -> Sequence[Event]:
        """What happened; workers without songs have nothing to report."""
        if self._starting or self._given():
            return self.engine.wait(WAIT_S)
        self.clock.sleep(WAIT_S)
        return []

    def _start_workers(self) -> None:
        """Start workers, if there is room and work for more."""
        wanted = min(self.engine.wanted(), self._unfinished())
        while len(self._starting) + len(self._busy) < wanted:
            self._starting.add(self.engine.start())
        self._most_workers = max(self._most_workers, len(self._starting) + len(self._busy))

    def _hand_out(self) -> None:
        """Give songs to workers, evenly, as long as they may take some."""
        if self._pauses.rest_s:
            return
        for most in range(1, self.in_flight + 1):
            for worker, own in self._busy.items():
                if self._waiting and len(own) < most:
                    one = self._waiting.popleft()
                    own.append(one)
                    self.engine.submit(worker, one.item)

    def _handled(self, event: Event) -> Iterator[tuple[Item, Outcome]]:
        """Take note of an event; yield what is finished by it."""
        if isinstance(event, Ready):
            logger.info("worker %d is ready", event.worker)
            self._starting.discard(event.worker)
            self._busy[event.worker] = deque()
        elif isinstance(event, Finished):
            self._lost = 0
            yield from self._finished(self._busy[event.worker].popleft(), event.outcome)
        else:
            yield from self._worker_lost(event)

    def _finished(self, one: _Try, outcome: Outcome) -> Iterator[tuple[Item, Outcome]]:
        """Yield a song, unless its store did not answer: then it is tried again later."""
        if not outcome.again:
            self._pauses.worked()
            by_us = one.begun and outcome.status == THERE  # by a worker that could not report it
            yield one.item, replace(outcome, status=DONE) if by_us else outcome
            return
        self._pauses.failed(self.in_flight * len(self._busy), outcome.error)
        one.due_s = self.clock.now() + before(one.failed + 1)
        yield from self._failed(one, outcome, self._later)

    def _failed(
        self, one: _Try, outcome: Outcome, queue: deque[_Try] | list[_Try]
    ) -> Iterator[tuple[Item, Outcome]]:
        """Put a song into a queue for another try; yield it after the last one."""
        one.failed += 1
        one.begun = True
        if one.failed < self.tries:
            queue.append(one)
        else:
            yield one.item, outcome

    def _worker_lost(self, event: Lost) -> Iterator[tuple[Item, Outcome]]:
        """The songs of a lost worker wait again; only the oldest was being done."""
        self._starting.discard(event.worker)
        own = self._busy.pop(event.worker, deque())
        self._lost += 1
        logger.warning(
            "worker %d was lost (%s); others do its %d songs", event.worker, event.reason, len(own)
        )
        if self._lost > MOST_LOST + self._most_workers:
            raise OutputError(f"{self._lost} workers in a row were lost: {event.reason}")
        if not own:
            return
        for one in own:  # which may be finished
            one.begun = True
        oldest = own.popleft()
        self._waiting.extendleft(reversed(own))
        error = f"its worker was lost {oldest.failed + 1} times ({event.reason})"
        yield from self._failed(oldest, Outcome(status=FAILED, error=error), self._waiting)
