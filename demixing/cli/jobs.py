"""Separates songs for ``separate``: in this process, or several at a time in worker processes.

Where possible, the networks are loaded once, before any thread exists, and the workers are forked:
they share the memory of the weights and libraries.

Workers end with the process that started them, even if it is killed, and an interrupted song leaves
nothing behind.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
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
    from demixing.engine.separate_file import Order

DEVICE_VARIABLE = "DEMIX_DEVICE"
"""As in :mod:`demixing.networks.execution`, which imports torch."""

WITH_LENGTH = (".wav", ".flac", ".aif", ".aiff", ".w64", ".rf64", ".caf", ".au")
"""Suffixes of files whose header contains their length."""

LOSSY_BYTES_PER_S = 32_000
"""Of other files: 256 kbit/s."""

ONNX_RUNTIME = "onnxruntime"
"""Its name as a module."""


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
        recipe: with all available members.
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

    def order(self, job: Job) -> Order:
        """A job, as the engine takes it."""
        from demixing.engine.separate_file import Order

        return Order(
            song=job.song,
            paths=job.paths,
            replace=job.replace,
            bits=self.bits,
            bitrate=self.bitrate,
            best=self.best,
            stream=self.stream,
            rescale=self.rescale,
        )


Results = Generator[tuple[Job, DemixError | None], None, None]
"""Finished songs, and the errors of those that failed. Close it to stop the others."""


def one_by_one(jobs: Sequence[Job], how: How, *, quiet: bool) -> Results:
    """Separate songs in this process, one after the other.

    Raises:
        DemixError: the recipe cannot be used.
    """
    with bar(how.recipe.name, quiet=quiet):
        demixer = built(how)
    from demixing.engine.separate_file import separate_files

    def shown(order: Order) -> AbstractContextManager[Report]:
        return bar(order.song.name, quiet=quiet)

    errors = separate_files(demixer, [how.order(job) for job in jobs], shown)
    with contextlib.closing(errors):
        for job, error in zip(jobs, errors, strict=True):
            yield job, said(job, error)


def together(
    jobs: Sequence[Job], how: How, count: int, *, device: str | None, quiet: bool
) -> Results:
    """Separate several songs at a time, and yield them as they are finished.

    The longest come first, so that the last one does not keep a single worker busy for long.

    Args:
        jobs: the songs.
        how: to separate them.
        count: number of processes, which share the processors.
        device: for networks; None: each process chooses.
        quiet: show no progress.

    Raises:
        DemixError: the recipe cannot be used, or a worker died.
    """
    count = min(count, len(jobs))
    available = threads.chosen()
    environment = threads.environment(max(available // count, 1))
    if device is not None:
        environment[DEVICE_VARIABLE] = device
    fork = pool.can_fork()  # checked again after the bar's thread has ended
    with bar("songs", quiet=quiet), threads.single():
        ordered = longest_first(jobs)
        demixer = shared(how) if fork else None
    fork = demixer is not None and pool.can_fork()
    team = pool.shared_number(available // count)
    level = logging.getLogger().getEffectiveLevel()
    given = (environment, os.getpid(), how, level, team, demixer if fork else None)
    started_s = time.monotonic()
    with pool.workers(count, _begin, *given, fork=fork) as executor:
        with pool.interrupts_wait():  # workers inherit it
            futures = {executor.submit(_work, job): job for job in ordered}
        with bar("songs", quiet=quiet) as report:  # its thread must not exist when workers start
            report(Progress(stage=LOADING))
            for done, future in enumerate(concurrent.futures.as_completed(futures), 1):
                left = len(jobs) - done
                team.value = available // min(count, max(left, 1))
                try:
                    error = future.result()
                except concurrent.futures.BrokenExecutor as broken:
                    raise OutputError(
                        "a worker died, probably because it ran out of memory; "
                        "use fewer --jobs, and --resume"
                    ) from broken
                report(_progress(done / len(jobs), time.monotonic() - started_s))
                yield futures[future], error


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """Songs by the length that their headers say, or else by the size of their files."""
    return sorted(jobs, key=lambda job: _length_s(job.song), reverse=True)


def _length_s(song: Path) -> float:
    """Length of a song, as far as it is known without decoding it; 0 for a pipe."""
    import soundfile

    try:
        if not song.is_file():  # a pipe could not be read again
            return 0.0
        if song.suffix.lower() in WITH_LENGTH:
            return float(soundfile.info(os.fsencode(song)).duration)
        return song.stat().st_size / LOSSY_BYTES_PER_S
    except (OSError, soundfile.LibsndfileError):
        return 0.0


def shared(how: How) -> Demixer | None:
    """Build a demixer for workers that are copies of this process.

    Returns:
        None if workers must be new programs that load their own: on a GPU, or with ONNX Runtime,
        whose state a copy cannot use. Some separators import it with their module, others when
        they open a model.

    Raises:
        DemixError: the recipe cannot be used.
    """
    from demixing import separators
    from demixing.machine.device import chosen_device

    for member in how.recipe.members:
        separators.module(member.separator)
    if chosen_device().type != "cpu" or ONNX_RUNTIME in sys.modules:
        return None
    demixer = built(how)
    return None if ONNX_RUNTIME in sys.modules else demixer


def _progress(done: float, elapsed_s: float) -> Progress:
    """Progress of all songs; their lengths are not known, so neither is the speed."""
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

    try:
        separate_file(demixer, how.order(job), report)
    except DemixError as error:
        return said(job, error)
    return None


def said(job: Job, error: DemixError | None) -> DemixError | None:
    """The error of a song as the command reports it."""
    if error is not None and is_folder(job.song):
        return _nothing_in(job.song)
    return error


def _nothing_in(folder: Path) -> SongError:
    """Why there are no songs in a folder."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return SongError(f"cannot list this folder: {error.strerror}")
    return SongError("expected audio files in this folder, but found none")


# In workers


_how: How
_demixer: Demixer | None
_team: pool.Number


def _work(job: Job) -> DemixError | None:
    """Separate one song in a worker."""
    global _demixer
    with pool.interruptible():
        if _demixer is None:
            _demixer = built(_how)
        return separated(_demixer, job, _how, _join)


def _join(_: object) -> None:
    """Use the threads of workers that have no more songs."""
    import torch

    if torch.get_num_threads() < _team.value:
        torch.set_num_threads(_team.value)


def _begin(
    environment: Mapping[str, str],
    parent: int,
    how: How,
    level: int,
    team: pool.Number,
    demixer: Demixer | None,
) -> None:
    """Set up a worker; see :func:`demixing.process.pool.begin_worker`."""
    global _how, _demixer, _team
    _how, _demixer, _team = how, demixer, team
    pool.begin_worker(environment, parent, level)
    if demixer is not None:
        threads.use()
