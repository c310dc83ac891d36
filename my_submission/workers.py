"""Lets the grader's wrapper separate several songs at a time, each in a worker process.

Workers end with the process that started them, even if it is killed, and never leave an incomplete
song.
"""

import concurrent.futures
import functools
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, MutableSequence
from typing import TYPE_CHECKING

from demixing.cli import bar
from demixing.engine import progress, progress_bar
from demixing.engine.omissions import Omission
from demixing.errors import OutputError, SongError
from demixing.process import pool
from demixing.recipes import tracks

if TYPE_CHECKING:  # the parent of the workers does not need torch
    from my_submission.aicrowd_wrapper import AIcrowdWrapper

SPAWN = multiprocessing.get_context("spawn")
"""Workers start as new programs, without the threads and locks of this one."""

CLIPPING_LOGGER = "demixing.audio"
"""Logs that stems are above full scale."""

Future = concurrent.futures.Future[tuple[float, tuple[Omission, ...]]]
Parts = MutableSequence[float]

progress_parts: Parts = []
"""Progress of each song, in a worker: shared with its parent."""

Finish = Callable[[str, tuple[Omission, ...]], None]
"""Called with the name of a separated song, and its omissions."""


def separate(
    lengths_s: Mapping[str, float],
    environment: Mapping[str, str],
    jobs: int,
    finish: Finish,
    *,
    level: int = logging.WARNING,
    quiet: bool = False,
) -> dict[str, float]:
    """Let the wrapper separate songs in worker processes.

    Args:
        lengths_s: length of each song, by name.
        environment: variables of the workers, in addition to those of this process.
        jobs: songs at a time.
        finish: called after each song.
        level: log level of the workers.
        quiet: show no progress.

    Returns:
        Seconds that each song took, without loading the model.

    Raises:
        SongError: a song cannot be separated.
        OutputError: its stems violate the contract or cannot be written.
    """
    spent_s: dict[str, float] = {}
    parts = SPAWN.RawArray("d", len(lengths_s))
    show = bar(environment[tracks.TRACK_VARIABLE], quiet=quiet)
    workers = pool.workers(jobs, become_worker, dict(environment), os.getpid(), parts, level)
    with workers as executor, show as report:
        together = progress.Together(lengths_s, report)
        with pool.interrupts_wait():  # workers inherit it
            futures = {executor.submit(work, name, at): name for at, name in enumerate(lengths_s)}
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
    """Yield songs when they are done, and report the progress of the others.

    Args:
        futures: futures and the names of their songs, in the order of ``parts``.
        parts: finished fraction of each song; written by the workers.
        together: combines them.
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


def become_worker(environment: Mapping[str, str], parent: int, parts: Parts, level: int) -> None:
    """Set up a worker as the server would.

    Args:
        environment: added to that of the process.
        parent: id of the process that started it, which it must not outlive.
        parts: where it writes the finished fraction of each song.
        level: log level.
    """
    global progress_parts
    progress_parts = parts
    pool.begin_worker(environment, parent, level)
    if level > logging.INFO:
        # Loud stems may be correct. The evaluation, which has the references, reports clipping.
        logging.getLogger(CLIPPING_LOGGER).setLevel(logging.ERROR)


@functools.cache
def wrapper() -> "AIcrowdWrapper":
    """The wrapper of this process; its model is loaded once."""
    from my_submission.aicrowd_wrapper import AIcrowdWrapper

    return AIcrowdWrapper()


def work(name: str, at: int) -> tuple[float, tuple[Omission, ...]]:
    """Separate one song.

    Args:
        name: name of the song.
        at: index of its progress in shared memory.

    Returns:
        The seconds it took, and its omissions.
    """

    def report(event: progress.Progress) -> None:
        progress_parts[at] = event.done

    with pool.interruptible():
        ready = wrapper()
        ready.model.report = report
        started_s = time.monotonic()
        ready.separate_music_file(name)
        return time.monotonic() - started_s, ready.model.omissions
