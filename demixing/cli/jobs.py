"""Separates songs for ``separate``: in this process, or several at a time in worker processes.

Workers end with the process that started them, even if it is killed, and an interrupted song leaves
nothing behind.
"""

from __future__ import annotations

import concurrent.futures
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import bar
from demixing.cli.songs import is_folder
from demixing.engine.progress import LOADING, SEPARATING, Progress
from demixing.errors import DemixError, OutputError, SongError
from demixing.machine import collector, threads
from demixing.process import pool
from demixing.recipes.recipe import Recipe

if TYPE_CHECKING:
    from demixing.engine.demixer import Demixer
    from demixing.engine.progress import Report

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
    workers = pool.workers(count, _begin, environment, os.getpid(), how, level)
    with workers as executor, bar("songs", quiet=quiet) as report:
        report(Progress(stage=LOADING))
        with pool.interrupts_wait():  # workers inherit it
            futures = {executor.submit(_work, job): job for job in jobs}
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
    with collector.resting():
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
    with pool.interruptible():
        if _demixer is None:
            _demixer = built(_how)
        return separated(_demixer, job, _how)


def _begin(environment: Mapping[str, str], parent: int, how: How, level: int) -> None:
    """Set up a worker; see :func:`demixing.process.pool.begin_worker`."""
    global _how
    _how = how
    pool.begin_worker(environment, parent, level)
