"""Threads that read or write a song, and the queue of a few items between two threads."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

MOST = 2
"""Items that may wait: two keep the other thread busy, and more would only cost memory."""


class ClosedError(Exception):
    """The receiver does not take any more items."""


class Channel(Generic[Item]):
    """Passes items from a sender to a receiver; a full channel makes the sender wait.

    Args:
        most: total size of the items that may wait; a single item may be larger.
        size: of an item. By default, items are counted.
    """

    def __init__(self, most: int = MOST, size: Callable[[Item], int] = lambda item: 1) -> None:
        self._most, self._size = most, size
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None

    def put(self, item: Item) -> None:
        """Send one item, and wait while the channel is full.

        Raises:
            ClosedError: the receiver has closed the channel.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(item))
            if self._closed:
                raise ClosedError
            self._items.append(item)
            self._changed.notify_all()

    def _has_room(self, item: Item) -> bool:
        """Whether an item can be added now."""
        return not self._items or sum(map(self._size, (*self._items, item))) <= self._most

    def end(self, error: BaseException | None = None) -> None:
        """Mark the end: the receiver stops after the last item.

        Args:
            error: raised at the receiver after the last item.
        """
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Accept no more items, and drop those that wait."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def while_open(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass on items of work that precedes the first :meth:`put`, while the channel is open.

        Raises:
            ClosedError: the receiver has closed the channel.
        """
        for item in items:
            if self._closed:
                raise ClosedError
            yield item

    def __iter__(self) -> Iterator[Item]:
        """Receive all items.

        Raises:
            BaseException: the error of :meth:`end`.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._closed)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # otherwise it would stay in memory until the next one comes
        if self._error is not None:
            raise self._error


class Helpers:
    """Threads that can be waited for even if an interruption came while they were started.

    They do not keep the process from ending.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._closed = False

    def start(self, work: Callable[[], object]) -> None:
        """Start a thread."""
        threading.Thread(target=self._run, args=(work,), name="song", daemon=True).start()

    def close(self) -> None:
        """Wait for the threads, except in :meth:`waiting`; one that has not begun does nothing."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._running)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """In a thread: wait for another program, which may take forever.

        Raises:
            ClosedError: the threads were closed meanwhile.
        """
        self._count(-1)
        try:
            yield
        finally:
            self._count(1)
        if self._closed:
            raise ClosedError

    def _run(self, work: Callable[[], object]) -> None:
        with self._changed:
            if self._closed:
                return
            self._running += 1
        try:
            work()
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        """Change the number of threads that :meth:`close` waits for."""
        with self._changed:
            self._running += change
            self._changed.notify_all()
