"""An engine of batches whose workers are in this process, one after the other."""

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from demixing.cluster.catalogue import Item
from demixing.cluster.dispatch import Event, Finished, Ready
from demixing.cluster.work import Job, Worker


class Inline:
    """Takes the place of :class:`demixing.cluster.processes.Processes`."""

    def __init__(self, job: Job, count: int, environment: Mapping[str, str]) -> None:
        self._worker = Worker(job)
        self._events: deque[Event] = deque()
        self._given: deque[Item] = deque()

    def __enter__(self) -> "Inline":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def wanted(self) -> int:
        return 1

    def start(self) -> int:
        self._worker.get_ready()
        self._events.append(Ready(0))
        return 0

    def submit(self, worker: int, item: Item) -> None:
        self._given.append(item)

    def wait(self, seconds: float) -> Sequence[Event]:
        if self._events:
            return [self._events.popleft()]
        return [Finished(0, self._worker.do(self._given.popleft()))]
