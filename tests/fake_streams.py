"""Stand-in for a GPU whose streams really run at different times, on CPU tensors.

A stream is a queue of work. Lazy streams work only when something waits for them; eager ones work
as soon as nothing holds them up. What has not been written yet is NaN. So code that reads too early
reads NaN, and code that overwrites too early changes what is read late: a missing wait shows in the
result, in at least one of the ways in which streams can be eager or lazy.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

INWARD, OUTWARD, COMPUTE = "inward", "outward", "compute"


class FakeEvent:
    """A point in the queue of a stream."""

    def __init__(self, stream: FakeStream) -> None:
        self.stream, self.reached = stream, False

    def synchronize(self) -> None:
        """Let the stream work until it gets here."""
        if not self.stream.gpu.ignore_synchronize:
            self.stream.run_to(self)


class FakeStream:
    """A queue of calls, and of events of this stream or of others."""

    def __init__(self, gpu: FakeGpu, name: str, *, eager: bool) -> None:
        self.gpu, self.name, self.eager = gpu, name, eager
        self.queue: deque[Callable[[], object] | FakeEvent] = deque()

    def wait_event(self, event: FakeEvent) -> None:
        self.gpu.said.append(f"{self.name} waits")
        if (self.name, event.stream.name) not in self.gpu.ignore_waits:
            self.add(event)
        if self.gpu.direct and self is self.gpu.compute:
            event.synchronize()

    def record_event(self) -> FakeEvent:
        event = FakeEvent(self)
        self.add(event)
        return event

    def add(self, work: Callable[[], object] | FakeEvent) -> None:
        self.queue.append(work)
        self.gpu.work()

    def step(self, *, forced: bool) -> bool:
        """Do one piece of work; forced: also that of other streams which it needs."""
        if not self.queue:
            return False
        first = self.queue[0]
        if isinstance(first, FakeEvent):
            if first.stream is self:
                first.reached = True
            elif not first.reached:
                if not forced:
                    return False
                first.stream.run_to(first)
                if not self.queue or self.queue[0] is not first:
                    return True  # an eager stream has come this far meanwhile
            self.queue.popleft()
        else:
            self.queue.popleft()
            first()
        return True

    def run_to(self, event: FakeEvent) -> None:
        while not event.reached:
            assert self.step(forced=True), "the event was not recorded"
        self.gpu.work()


class FakeGpu:
    """See :class:`demixing.machine.cuda.Gpu`.

    Args:
        eager: names of the streams that are eager.
        memory: chunks that fit; more at once run out of memory.
        capture_error: raised when a network is recorded.
        lies: a recorded network gives another output.
        direct: networks compute at once, so they are not those of :meth:`network`.
    """

    def __init__(
        self,
        eager: Sequence[str] = (),
        *,
        memory: float = math.inf,
        capture_error: Exception | None = None,
        lies: bool = False,
        direct: bool = False,
    ) -> None:
        self.said: list[str] = []
        self.ignore_waits: set[tuple[str, str]] = set()
        self.ignore_synchronize = False
        self.direct = direct
        self.memory, self.capture_error, self.lies = memory, capture_error, lies
        self.captures = self.replays = self.released = 0
        self.tuned: list[bool] = []
        self._eager = eager
        self.compute = FakeStream(self, COMPUTE, eager=COMPUTE in eager)
        self.streams = [self.compute]
        self._on = self.compute

    def work(self) -> None:
        """Let eager streams do what they can."""
        while any(stream.step(forced=False) for stream in self.streams if stream.eager):
            pass

    def stream(self) -> Any:
        name = (INWARD, OUTWARD)[(len(self.streams) - 1) % 2]
        made = FakeStream(self, name, eager=name in self._eager)
        self.streams.append(made)
        return made

    def current(self) -> Any:
        return self.compute

    @contextlib.contextmanager
    def on(self, stream: Any) -> Iterator[None]:
        before, self._on = self._on, stream
        yield
        self._on = before

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.full(tuple(shape), math.nan, dtype=dtype)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.full(tuple(shape), math.nan, dtype=dtype)

    def copy(self, target: Tensor, source: Tensor) -> None:
        assert target.dtype == source.dtype, "this would be converted on the host, and wait"
        self.said.append(f"{self._on.name} copies")
        self._on.add(lambda: target.copy_(source))

    def capture(self, network: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
        if self.capture_error is not None:
            raise self.capture_error
        self.captures += 1

        def repeat(given: Tensor) -> Tensor:
            assert given.shape == x.shape
            self.replays += 1
            output = network(given)
            return output + 1 if self.lies else output

        return repeat

    def tune(self, *, repeated: bool) -> None:
        self.tuned.append(repeated)

    def release(self) -> None:
        self.released += 1
        for stream in self.streams:
            while stream.step(forced=True):
                pass

    def network(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """A network on this GPU: its output is NaN until the stream has computed it."""

        def run(x: Tensor) -> Tensor:
            self.said.append("network starts")
            if len(x) > self.memory:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            output = torch.full_like(function(torch.zeros_like(x)), math.nan)
            self.compute.add(lambda: output.copy_(function(x)))
            return output

        return run
