"""Separates songs for ``separate``: in this process, or several at a time in worker processes.

Workers end with the process that started them, even if it is killed, and an interrupted song leaves
nothing behind.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from demixing.cli import bar
from demixing.cli.songs import is_folder
from demixing.engine.progress import LOADING, SEPARATING, Progress
from demixing.errors import DemixError, OutputError, SongError
from demixing.machine import threads
from demixing.process.lifetime import die_with_parent
from demixing.recipes.recipe import Recipe

if TYPE_CHECKING:
    from demixing.engine.demixer import Demixer
    from demixing.engine.progress import Report

CLEAN_UP_S = 30
"""Time for a worker to clean up, which cannot start in the middle of a layer."""

DEVICE_VARIABLE = "DEMIX_DEVICE"
"""As in :mod:`demixing.networks.execution`, which imports torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One song and the files of its stems.

    Attributes:
        song: an audio file.
        paths: of the stems, by name.
        replace: whether files that exist are replaced.
    """

    song: Path
    paths: Mapping[str, Path]
    replace: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How all songs are separated.

    Attributes:
        recipe: with all members that are at hand.
        bits: of samples.
        bitrate: of lossy formats, in kbit/s; None: the format's.
        best: use all test-time augmentation.
        stream: the audio stream of films; None: the first.
        rescale: divide stems that exceed full scale.
    """

    recipe: Recipe
    bits: str
    bitrate: int | None
    best: bool
    stream: str | None = None
    rescale: bool = False


Result = tuple[Job, DemixError | None]
"""A song that is finished, and why it failed."""


def one_by_one(jobs: Sequence[Job], how: How, *, quiet: bool) -> Iterator[Result]:
    """Separate songs in this process.

    Raises:
        DemixError: the recipe cannot be used.
    """
    with bar(how.recipe.name, quiet=quiet):
        demixer = built(how)
    for job in jobs:
        with bar(job.song.name, quiet=quiet) as report:
            error = separated(demixer, job, how, report)
        yield job, error


def together(
    jobs: Sequence[Job], how: How, count: int, *, device: str | None, quiet: bool
) -> Iterator[Result]:
    """Separate several songs at a time, and yield them as they are finished.

    Args:
        jobs: the songs.
        how: they are separated.
        count: number of processes, which share the processors.
        device: for networks; None: each process chooses.
        quiet: show no progress.

    Raises:
        DemixError: the recipe cannot be used, or a worker died.
    """
    environment = threads.environment(max(threads.chosen() // count, 1))
    if device is not None:
        environment[DEVICE_VARIABLE] = device
    level = logging.getLogger().getEffectiveLevel()
    started_s = time.monotonic()
    with _pool(count, environment, how, level) as pool, bar("songs", quiet=quiet) as report:
        report(Progress(stage=LOADING))
        with _interrupts_wait():  # workers inherit it
            futures = {pool.submit(_work, job): job for job in jobs}
        for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
            try:
                error = future.result()
            except concurrent.futures.BrokenExecutor as broken:
                raise OutputError(
                    "a worker died, probably because it ran out of memory; "
                    "use fewer --jobs, and --resume"
                ) from broken
            report(_progress(done / len(jobs), time.monotonic() - started_s))
            yield futures[future], error


def _progress(done: float, elapsed_s: float) -> Progress:
    """How far all songs together are; their lengths are not known, so neither is the speed."""
    left_s = elapsed_s * (1 - done) / done
    return Progress(stage=SEPARATING, done=done, elapsed_s=elapsed_s, remaining_s=left_s)


def built(how: How) -> Demixer:
    """Build a demixer; torch takes seconds to import, and mistakes are reported first.

    Raises:
        DemixError: the recipe cannot be used.
    """
    from demixing.engine.demixer import Demixer

    threads.use()
    return Demixer(how.recipe)


def separated(
    demixer: Demixer, job: Job, how: How, report: Report | None = None
) -> DemixError | None:
    """Separate one song; return why it failed."""
    from demixing.engine.separate_file import separate_file

    if is_folder(job.song):
        return SongError("expected audio files in this folder, but found none")
    try:
        separate_file(
            demixer,
            job.song,
            job.paths,
            bits=how.bits,
            bitrate=how.bitrate,
            replace=job.replace,
            best=how.best,
            report=report,
            stream=how.stream,
            rescale=how.rescale,
        )
    except DemixError as error:
        return error
    return None


# In workers


_how: How
_demixer: Demixer | None = None


def _work(job: Job) -> DemixError | None:
    """Separate one song in a worker."""
    global _demixer
    _on_signals(_stop)
    try:
        if _demixer is None:
            _demixer = built(_how)
        return separated(_demixer, job, _how)
    except KeyboardInterrupt:  # cleaned up by now
        _leave()
    finally:
        _on_signals(_leave)


def _begin(environment: Mapping[str, str], parent: int, how: How, level: int) -> None:
    """Set up a worker.

    Args:
        environment: added to that of the process.
        parent: id of the process that started it, which it must not outlive.
        how: songs are separated.
        level: log level.
    """
    global _how
    _how = how
    die_with_parent(parent)
    _on_signals(_leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")
    os.environ.update(environment)


def _on_signals(action: Callable[..., object]) -> None:
    """Choose what happens when a worker is interrupted; what a shell ignores stays ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, action)


def _leave(*_: object) -> NoReturn:
    """Exit at once: the pool would catch an exception, and wait for ever."""
    os._exit(130)


def _stop(*_: object) -> NoReturn:
    """Stop the song and clean up, which nothing may interrupt."""
    _on_signals(lambda *_: None)
    raise KeyboardInterrupt


# Of the parent


@contextlib.contextmanager
def _pool(
    count: int, environment: Mapping[str, str], how: How, level: int
) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Worker processes, which are ended if this process is interrupted or raises an error."""
    import multiprocessing  # its import alone adds a second name for the main module

    # New programs, without the threads and locks of this one.
    pool = concurrent.futures.ProcessPoolExecutor(
        count,
        multiprocessing.get_context("spawn"),
        _begin,
        (dict(environment), os.getpid(), how, level),
    )
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


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Delay Ctrl-C, here and in processes that are started in this context."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
