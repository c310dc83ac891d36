"""Hands songs to workers, wherever these run, and copes with workers that are lost.

A worker gets few songs at a time, so a fast one gets more, and a lost one loses little. If it is
lost, another takes its place, and its songs go to other workers. A song whose worker was lost too
often is recorded as failed: it may be what ends them. A song that failed for a reason that may
pass, such as a store that did not answer, is also tried again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from demixing.cluster.catalogue import Item
from demixing.cluster.work import FAILED, Outcome
from demixing.errors import OutputError

logger = logging.getLogger(__name__)

IN_FLIGHT = 2
"""Songs of a worker: one that it does, and one that waits, so that it never idles."""

WAIT_S = 1.0

MOST_LOST = 20
"""Workers that may be lost one after the other, without a song done, before the run ends."""


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
    """A song and how often it failed."""

    item: Item
    failed: int = 0


@dataclass(slots=True)
class Dispatcher:
    """Does all songs of a batch.

    Attributes:
        engine: where workers run.
        tries: how often a song is tried at most.
        in_flight: songs of a worker at a time.
    """

    engine: Engine
    tries: int = 3
    in_flight: int = IN_FLIGHT
    _waiting: deque[_Try] = field(default_factory=deque)
    _starting: set[int] = field(default_factory=set)
    _busy: dict[int, deque[_Try]] = field(default_factory=dict)
    _lost: int = 0

    def run(self, items: Sequence[Item]) -> Iterator[tuple[Item, Outcome]]:
        """Do songs, and yield each once, when it is finished.

        Raises:
            DemixError: no worker can do this task, or every worker is lost.
        """
        self._waiting = deque(map(_Try, items))
        while self._unfinished():
            self._start_workers()
            self._hand_out()
            for event in self.engine.wait(WAIT_S):
                yield from self._handled(event)

    def _unfinished(self) -> int:
        """Number of songs that are not finished."""
        return len(self._waiting) + sum(map(len, self._busy.values()))

    def _start_workers(self) -> None:
        """Start workers, if there is room and work for more."""
        wanted = min(self.engine.wanted(), self._unfinished())
        while len(self._starting) + len(self._busy) < wanted:
            self._starting.add(self.engine.start())

    def _hand_out(self) -> None:
        """Give songs to workers, evenly, as long as they may take some."""
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
            yield from self._tried(self._busy[event.worker].popleft(), event.outcome)
        else:
            yield from self._worker_lost(event)

    def _tried(self, one: _Try, outcome: Outcome) -> Iterator[tuple[Item, Outcome]]:
        """Yield a song that is finished; otherwise it waits for another try."""
        one.failed += 1
        if outcome.status == FAILED and outcome.again and one.failed < self.tries:
            self._waiting.append(one)
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
        if self._lost > MOST_LOST:
            raise OutputError(f"{self._lost} workers in a row were lost: {event.reason}")
        if not own:
            return
        oldest = own.popleft()
        self._waiting.extendleft(reversed(own))
        error = f"its worker was lost {oldest.failed + 1} times ({event.reason})"
        yield from self._tried(oldest, Outcome(status=FAILED, error=error, again=True))
