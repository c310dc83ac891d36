"""Keeps two runs out of one output folder, where each would delete the files of the other."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from demixing import atomic
from demixing.errors import EvaluationError


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Create a folder, and hold it until the block ends.

    The folder itself is locked, so no file is added, and the system releases it when this process
    ends, however it ends. On a file system without locks, nothing is held.

    Args:
        folder: for all files of a run; need not exist.

    Raises:
        EvaluationError: another run holds it, or it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = atomic.locked(folder)
    except BlockingIOError as error:
        raise EvaluationError(
            f"another run is at work in {str(folder)!r}; wait for it or give another --output"
        ) from error
    except OSError as error:
        raise EvaluationError(
            f"cannot write to {str(folder)!r} ({error.strerror}); choose another --output"
        ) from error
    try:
        yield
    finally:
        atomic.unlock(lock)
