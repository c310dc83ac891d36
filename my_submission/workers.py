"""Songs that the grader's wrapper separates side by side, each worker in a process of its own.

Workers end with the process that started them, even if that is killed, and leave whole songs only.
"""

import concurrent.futures
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, MutableSequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from demixing import tracks
from demixing.engine import progress, progress_bar
from demixing.engine.omissions import Omission
from demixing.errors import OutputError, SongError
from demixing.process.lifetime import die_with_parent

if TYPE_CHECKING:  # the process that starts them never needs torch
    from my_submission.aicrowd_wrapper import AIcrowdWrapper

PATIENCE_S = 30
"""What a worker has for its clean-ups: it cannot begin them in the middle of a layer."""

SPAWN = multiprocessing.get_context("spawn")
"""Workers start as new programs, which have none of this one's threads and locks."""

Future = concurrent.futures.Future[tuple[float, tuple[Omission, ...]]]
Parts = MutableSequence[float]

progress_parts: Parts = []
"""Of a worker: shared with the process that it works for."""

Finish = Callable[[str, tuple[Omission, ...]], None]
"""Called with the name of a song that was separated, and with what it had to do without."""


def separate(
    lengths_s: Mapping[str, float], environment: Mapping[str, str], jobs: int, finish: Finish
) -> dict[str, float]:
    """Let the wrapper separate songs in processes of their own.

    Args:
        lengths_s: length of each song, by name.
        environment: of these processes, beside that of this one.
        jobs: songs at a time.
        finish: is called after each song.

    Returns:
        Seconds that each song took, without loading the model.

    Raises:
        SongError: a song cannot be separated.
        OutputError: its stems break the contract or cannot be written.
    """
    spent_s: dict[str, float] = {}
    parts = SPAWN.RawArray("d", len(lengths_s))
    show = progress_bar.bar(environment[tracks.TRACK_VARIABLE])
    with workers(jobs, environment, parts) as pool, show as report:
        together = progress.Together(lengths_s, report)
        with interrupts_wait():  # children are born with it
            futures = {pool.submit(work, name, at): name for at, name in enumerate(lengths_s)}
        for future in watched(futures, parts, together):
            name = futures[future]
            try:
                spent_s[name], omissions = future.result()
            except (SongError, OutputError) as error:
                raise type(error)(f"song {name!r}: {error}") from error
            finish(name, omissions)
    return spent_s


def watched(
    futures: Mapping[Future, str], parts: Parts, together: progress.Together
) -> Iterator[Future]:
    """Yield songs as they are done, and report meanwhile how far the others are.

    Args:
        futures: with the name of the song of each, in the order of ``parts``.
        parts: of each song, how much of its work is done; written by the workers.
        together: joins them.
    """
    waiting = set(futures)
    while waiting:
        done, waiting = concurrent.futures.wait(
            waiting, progress_bar.REFRESH_S, concurrent.futures.FIRST_COMPLETED
        )
        for name, part in zip(futures.values(), parts, strict=True):
            if part:
                together.update(name, part)
        for future in done:
            yield future
            together.update(futures[future], 1.0)


@contextlib.contextmanager
def workers(
    jobs: int, environment: Mapping[str, str], parts: Parts
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Processes that separate; an interruption ends them and leaves whole files only.

    They are started where work is submitted to them, so in a thread that must outlast them.
    """
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs,
        mp_context=SPAWN,
        initializer=become_worker,
        initargs=(dict(environment), os.getpid(), parts),
    )
    try:
        yield pool
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        for child in children:
            child.join(PATIENCE_S)
            child.kill()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back, here and in processes that are started meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def become_worker(environment: Mapping[str, str], parent: int, parts: Parts) -> None:
    """Set up a process as the server would.

    Args:
        environment: is added to that of the process.
        parent: id of the process that it works for, and may not outlive.
        parts: where it writes how much of the work on a song is done.
    """
    global progress_parts
    progress_parts = parts
    die_with_parent(parent)  # again: it may have ended before this process asked who it is
    on_signals(leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    os.environ.update(environment)


def on_signals(action: Callable[[int, FrameType | None], object]) -> None:
    """Choose what happens to this process when somebody wants it to end.

    A shell starts jobs in the background with Ctrl-C ignored; then it stays ignored.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, action)


def leave(*_: object) -> NoReturn:
    """End at once. The pool's own code would catch an exception, and go on or wait forever."""
    os._exit(130)


def stop_work(*_: object) -> NoReturn:
    """Leave the work through all its clean-ups, and let nothing interrupt those."""
    on_signals(lambda *_: None)
    raise KeyboardInterrupt


@functools.cache
def wrapper() -> "AIcrowdWrapper":
    """The wrapper of this process; its model is loaded once."""
    from my_submission.aicrowd_wrapper import AIcrowdWrapper

    return AIcrowdWrapper()


def work(name: str, at: int) -> tuple[float, tuple[Omission, ...]]:
    """Separate one song; return the seconds it took, and what it had to do without.

    Args:
        name: of the song.
        at: its place among the parts that tell of the progress.
    """

    def report(event: progress.Progress) -> None:
        progress_parts[at] = event.done

    try:
        try:
            on_signals(stop_work)
            ready = wrapper()
            ready.model.report = report
            started_s = time.monotonic()
            ready.separate_music_file(name)
            return time.monotonic() - started_s, ready.model.omissions
        finally:
            on_signals(leave)
    except KeyboardInterrupt:
        leave()
