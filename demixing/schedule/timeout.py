"""Calls with a timeout, in a thread that can be left behind."""

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
    """Makes calls in another thread, so that one which hangs can be left behind.

    The thread is a daemon and ends with this object; one that hangs does not keep the process
    alive, and another takes its place.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        """Start a thread, which must not know this object, or it would never be collected."""
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
            timeout_s: how long it may take; infinity waits for as long as it takes.

        Raises:
            LateError: it did neither within ``timeout_s``.
        """
        self._calls.put(call)
        try:
            answer = self._answers.get(timeout=max(timeout_s, 0) if timeout_s < math.inf else None)
        except queue.Empty as error:
            self._end()
            self._start()
            raise LateError(f"no answer within {timeout_s:.1f} s") from error
        if isinstance(answer, Exception):
            raise answer
        return answer


def work(
    calls: "queue.SimpleQueue[Call | None]", answers: "queue.SimpleQueue[Tensor | Exception]"
) -> None:
    """Make calls until None comes."""
    while (call := calls.get()) is not None:
        try:
            answers.put(call())
        except Exception as error:  # whatever it is, the waiting thread must hear of it
            answers.put(error)
        except BaseException as error:  # such as an exit, which is not a member's to call
            answers.put(RuntimeError(f"{type(error).__name__}: {error}"))
        del call  # or the last song would stay in memory until the next one
