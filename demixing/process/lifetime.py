"""Ends a process together with its parent, however the parent ends."""

import contextlib
import ctypes
import os
import signal
import sys

SET_PDEATHSIG = 1
"""Option of Linux's prctl: the signal that a process gets when its parent's thread ends."""

ORPHANED = 1
"""Exit status of a process whose parent ended before this could be arranged."""


def die_with_parent(parent: int) -> None:
    """Make the kernel kill this process when the thread that started it ends.

    A killed process cannot clean up, so its children must not rely on it. Does nothing on systems
    other than Linux.

    Args:
        parent: id of the process that started this one. If it has already ended, no signal would
            come, so this process exits at once.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # a C library without prctl
        ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHANED)
