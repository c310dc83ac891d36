"""How long a process lives: no longer than the one that started it, whatever ends that."""

import contextlib
import ctypes
import os
import signal
import sys

SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent's thread ends."""

ORPHANED = 1
"""Exit status of a process whose parent ended before this could be arranged."""


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the thread that started it ends.

    A process that was killed cannot clean up, so its children must not depend on that. Does nothing
    on other systems than Linux.

    Args:
        parent: id of the process that started this one. If that has ended already, no signal would
            come any more, and this process ends at once.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # a C library without prctl
        ctypes.CDLL(None).prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHANED)
