"""Ends a process together with its parent, however the parent ends."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

SET_PDEATHSIG = 1
"""Option of Linux's prctl: the signal that a process gets when its parent's thread ends."""

ORPHANED = 1
"""Exit status of a process whose parent ended before this could be arranged."""

LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
"""The C library, opened before anything forks."""

WATCH_S = 1.0
"""Time between two looks at the parent, on systems without such a signal."""


def die_with_parent(parent: int) -> None:
    """End this process when the one that started it ends.

    On Linux, the kernel kills it, also when only the thread that started it ends. A killed process
    cannot clean up, so its children must not rely on it. Elsewhere, a thread watches the parent.

    Args:
        parent: id of the process that started this one. If it has already ended, no signal would
            come, so this process exits at once.
    """
    if not bind(parent):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def bind(parent: int) -> bool:
    """Ask the kernel to kill this process when its parent ends; it holds after an exec.

    Args:
        parent: as for :func:`die_with_parent`.

    Returns:
        Whether the kernel will do so.
    """
    signalled = _signalled()
    if os.getppid() != parent:
        os._exit(ORPHANED)
    return signalled


def _signalled() -> bool:
    """Ask the kernel for a signal; return whether it will send one."""
    if LIBRARY is None:
        return False
    with contextlib.suppress(OSError, AttributeError):  # a C library without prctl
        return bool(LIBRARY.prctl(SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)
    return False


def _watch(parent: int) -> None:
    """Exit as soon as the parent has ended: an orphan gets another one."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(ORPHANED)
