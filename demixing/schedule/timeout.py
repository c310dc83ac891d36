"""Calls with a timeout, in a thread that can be abandoned."""

import math
import queue
import threading
import weakref
from collections.abc import Callable

from torch import Tensor

Call = Callable[[], Tensor]
Run = Callable[[Call, float], Tensor]


class LateError(Exception):
    """A call did not return in time."""


class TimeoutRunner:
    """Runs calls in another thread, which is abandoned if a call hangs.

    The thread is a daemon and ends with this object. One that hangs does not keep the process
    alive, and a new one takes its place.
    """

    def __init__(self) -> None:
        self._begun = False

    def _start(self) -> None:
        """Start a thread.

        The thread must not hold a reference to this object, or it could never be
        garbage-collected.
        """
        self._begun = True
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Tensor | Exception] = queue.SimpleQueue()
        threading.Thread(
            target=work, args=(self._calls, self._answers), daemon=True, name="separator"
        ).start()
        self._end = weakref.finalize(self, self._calls.put, None)

    def __call__(self, call: Call, timeout_s: float) -> Tensor:
        """Return what ``call`` returns, or raise what it raises.

        Args:
            call: what to run.
            timeout_s: maximum duration; infinity for no limit.

        Raises:
            LateError: the call did not end within ``timeout_s``.
        """
        if not self._begun:  # a process that never calls anything can still be forked
            self._start()
        self._calls.put(call)
        try:
            answer = self._answers.get(timeout=max(timeout_s, 0) if timeout_s < math.inf else None)
        except queue.Empty as error:
            self._end()
            self._start()
            raise LateError(f"no output within {timeout_s:.1f} s") from error
        if isinstance(answer, Exception):
            raise answer
        return answer


def work(
    calls: "queue.SimpleQueue[Call | None]", answers: "queue.SimpleQueue[Tensor | Exception]"
) -> None:
    """Run queued calls until None arrives."""
    while (call := calls.get()) is not None:
        try:
            answers.put(call())
        except Exception as error:  # any error must reach the waiting thread
            answers.put(error)
        except BaseException as error:  # such as SystemExit: a member must not end the process
            answers.put(RuntimeError(f"{type(error).__name__}: {error}"))
        del call  # otherwise the song would stay in memory until the next call
