"""Waiting for other processes: for something to happen, never for a time to pass."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PAUSE_S = 0.02
"""Time between two checks."""

ROOT = Path(__file__).parents[1]


def until(condition: Callable[[], object], bound_s: float = 60.0) -> None:
    """Wait until something is true.

    Args:
        condition: checked repeatedly.
        bound_s: time after which waiting fails; no test depends on it being short.

    Raises:
        TimeoutError: it did not become true.
    """
    end_s = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"waited {bound_s:g} s in vain")
        time.sleep(PAUSE_S)


@contextlib.contextmanager
def begun(words: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """A command that was started in the repository, and is killed at the end if it still runs.

    Args:
        words: the command; its child processes are killed too.

    Yields:
        The process, with pipes for its output.
    """
    with subprocess.Popen(
        words,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
