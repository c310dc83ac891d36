"""Ends the program without freeing its objects one by one: the system frees them at once.

Freeing a million objects of torch takes a tenth of a second. Besides, libraries report as leaks
what an error's traceback still refers to.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable


def exit_with(run: Callable[[], int]) -> None:
    """Run the program and exit with its status, without freeing its objects.

    For programs, which own their process. What matters of Python's own end is done: it waits for
    threads, calls what :mod:`atexit` has registered during the run, and flushes the log and the
    standard streams. What was registered before the run is not called.

    Args:
        run: returns the exit status. If it raises, or an error follows, the end is Python's own.
    """
    found: list[int] = []
    # Called after all that is registered later.
    atexit.register(lambda: _leave(*found))
    found.append(run())
    sys.exit(found[0])


def _leave(*statuses: int) -> None:
    """End the process with a status, if there is one and all output could be written."""
    if hasattr(sys, "last_type"):  # a caller has caught the exit, and failed later
        return
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # Python reports it
        return
    for status in statuses:
        os._exit(status)
