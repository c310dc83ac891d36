"""Worker processes for several songs at a time; an interruption never leaves an incomplete song.

Workers end with the process that started them, even if it is killed.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn, Protocol, cast

from demixing.errors import OutputError
from demixing.machine import heap
from demixing.machine.lifetime import die_with_parent
from demixing.printing import start_log

CLEAN_UP_S = 30
"""Time for a worker to clean up, which cannot start in the middle of a layer."""

THREADS = Path("/proc/self/task")
"""Linux lists the threads of a process there."""


def can_fork() -> bool:
    """Whether copies of this process can work: on Linux, while it has only one thread.

    A copy has only the thread that forked. It would wait forever for a library's other threads, or
    for a lock that one of them held. Without /proc, the number of threads is unknown.
    """
    try:
        return sys.platform == "linux" and len(list(THREADS.iterdir())) == 1
    except OSError:
        return False


class Number(Protocol):
    """A number in memory that several processes share."""

    value: int


def shared_number(value: int) -> Number:
    """A number whose changes workers see, if it is an argument of their ``begin``."""
    from multiprocessing.sharedctypes import RawValue

    return cast("Number", RawValue("i", value))


@contextlib.contextmanager
def workers(
    count: int, begin: Callable[..., None], *arguments: object, fork: bool = False
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Worker processes, which are ended if this process is interrupted or raises an error.

    They start when work is submitted, and the submitting thread must outlive them.

    Args:
        count: number of processes.
        begin: called in each of them first; it calls :func:`begin_worker`.
        arguments: of ``begin``.
        fork: whether workers are copies of this process, which share all that it has loaded; see
            :func:`can_fork`. If not, they are new programs, without its threads and locks.

    Raises:
        OutputError: the system has no space for semaphores.
    """
    import multiprocessing  # its import alone adds a second name for the main module

    if fork:
        _settle()
    context = multiprocessing.get_context("fork" if fork else "spawn")
    try:
        pool = concurrent.futures.ProcessPoolExecutor(count, context, begin, arguments)
    except OSError as error:  # semaphores are files there
        raise OutputError(
            f"cannot start worker processes: {error.strerror}; is there space in /dev/shm, and "
            "may it be written to? use --jobs 1"
        ) from error
    try:
        yield pool
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        for child in children:
            child.join(CLEAN_UP_S)
            child.kill()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def _settle() -> None:
    """Let copies of this process share the pages of what it has loaded.

    A page is copied when it is written to. Each copy would reuse free memory, and its garbage
    collector would write to all objects: 94 MiB and 47 MiB with the default recipe.
    """
    gc.collect()
    gc.freeze()
    heap.tidy(0)


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Delay Ctrl-C, here and in processes that are started in this context."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def begin_worker(environment: Mapping[str, str], parent: int, level: int) -> None:
    """Set up a worker.

    Args:
        environment: added to that of the process.
        parent: id of the process that started it, which it must not outlive.
        level: log level.
    """
    die_with_parent(parent)  # the parent may have ended before this process read its id
    _on_signals(_leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    start_log(level)
    os.environ.update(environment)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let an interruption stop the work of this context, clean up, and end the worker."""
    try:
        try:
            _on_signals(_stop)
            yield
        finally:
            _on_signals(_leave)
    except KeyboardInterrupt:  # cleaned up by now
        _leave()


def _on_signals(action: Callable[..., object]) -> None:
    """Choose what happens when this process is interrupted or terminated.

    A shell starts background jobs with Ctrl-C ignored; then it stays ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, action)


def _leave(*_: object) -> NoReturn:
    """Exit at once. The pool would catch an exception, and continue or wait forever."""
    os._exit(130)


def _stop(*_: object) -> NoReturn:
    """Stop the work and clean up, which nothing may interrupt."""
    _on_signals(lambda *_: None)
    raise KeyboardInterrupt
