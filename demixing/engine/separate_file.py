"""Separates audio files into stem files.

A song is read by one thread, computed by the caller's, and written by a third one. A few blocks
wait between them, so memory does not depend on the length of a song. While one song is computed,
the next is opened and the previous one is finished.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from demixing import audio
from demixing.audio import SongFormat, encoders
from demixing.audio.files import read_blocks, song_format, whole_files, write_stems
from demixing.audio.rescaling import rescaled
from demixing.audio.spooling import seekable
from demixing.engine.channel import Channel, ClosedError, Helpers
from demixing.engine.demixer import Demixer
from demixing.engine.normalisation import SongStatistics, measured
from demixing.engine.progress import Report
from demixing.errors import DemixError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One file to be separated, and how.

    Attributes:
        song: an audio file, a film, or a pipe.
        paths: of the stem files, in the order of the recipe's outputs; suffixes choose formats.
        bits: ``16``, ``24`` or ``32f``; not used by lossy formats.
        bitrate: of lossy formats, in kbit/s; None: the format's.
        replace: whether files that exist are replaced.
        best: use all test-time augmentation of the recipe, however long it takes.
        stream: number of the audio stream, from 1, or its language; by default the first.
        rescale: see :mod:`demixing.audio.rescaling`.
    """

    song: Path
    paths: Mapping[str, Path]
    bits: str
    bitrate: int | None = None
    replace: bool = True
    best: bool = False
    stream: str | None = None
    rescale: bool = False


MOST_SAMPLES = 2 * audio.BLOCK
"""Samples of stems that wait for the writer: 17 MB of four stereo stems. A member's output comes at
once, in many short pieces."""

Shown = Callable[[Order], AbstractContextManager[Report | None]]
"""Shows the progress of one song while it is computed."""


def separate_file(demixer: Demixer, order: Order, report: Report | None = None) -> None:
    """Separate one file in constant memory. Either all stems are written, complete, or none.

    Args:
        demixer: separates the song.
        order: the song and its stems.
        report: called with each progress event.

    Raises:
        SongError: the song cannot be read or cannot be separated.
        OutputError: the stems cannot be written.
    """
    with contextlib.closing(_Separation(demixer, order)) as one:
        one.begin()
        for _ in one.steps(report):
            pass
        one.finish()


def separate_files(
    demixer: Demixer, orders: Iterable[Order], shown: Shown
) -> Generator[DemixError | None, None, None]:
    """Separate files one after the other; see :func:`separate_file`.

    Close the iterator to stop: what is not complete by then is removed.

    Args:
        demixer: separates the songs.
        orders: the songs and their stems.
        shown: called with each order when its song is computed.

    Yields:
        For each song, in order, why it failed. It may come one block of the next song late.
    """
    following = iter(orders)
    begun: deque[_Separation] = deque()  # the last song, this one and the next
    try:
        _begin(begun, demixer, following)
        while begun:
            one = begun[-1]
            _begin(begun, demixer, following)
            with shown(one.order) as report:
                for _ in one.steps(report):
                    if begun[0] is not one and begun[0].finished:
                        yield begun.popleft().error()
            if begun[0] is not one:
                yield begun.popleft().error()
            if begun[-1] is one:  # there is no next song
                yield begun.popleft().error()
    finally:
        for one in begun:
            one.close()


def _begin(begun: deque[_Separation], demixer: Demixer, orders: Iterator[Order]) -> None:
    """Open the next song, if there is one."""
    order = next(orders, None)
    if order is not None:
        begun.append(_Separation(demixer, order))
        begun[-1].begin()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """Facts about a song that are known before its first block."""

    form: SongFormat
    statistics: SongStatistics | None


class _Separation:
    """One song on its way through the threads.

    Args:
        demixer: separates the song.
        order: the song.
    """

    def __init__(self, demixer: Demixer, order: Order) -> None:
        self.order = order
        self._demixer = demixer
        self._blocks: Channel[Tensor] = Channel()
        self._stems: Channel[Tensor] = Channel(MOST_SAMPLES, lambda stems: stems.shape[-1])
        self._opened: Future[_Opened] = Future()
        self._failed: DemixError | None = None
        self._written: Future[None] = Future()
        self._threads = Helpers()

    def begin(self) -> None:
        """Open the song, and read its first blocks."""
        self._threads.start(self._read)

    def close(self) -> None:
        """Stop, and remove what is not complete."""
        self._blocks.close()
        self._stems.end(ClosedError())
        self._threads.close()

    @property
    def finished(self) -> bool:
        """Whether :meth:`error` returns at once."""
        return self._failed is not None or self._written.done()

    def error(self) -> DemixError | None:
        """Wait for the files, and return why the song failed."""
        try:
            self.finish()
        except DemixError as error:
            return error
        return None

    def finish(self) -> None:
        """Wait for the files.

        Raises:
            DemixError: the song failed.
        """
        try:
            if self._failed is not None:
                raise self._failed
            self._written.result()
        finally:
            self.close()

    def steps(self, report: Report | None) -> Iterator[None]:
        """Compute the song block by block; errors are those of :meth:`finish`."""
        try:
            opened = self._opened.result()
            self._threads.start(functools.partial(self._write, opened.form))
            for stems in self._computed(opened, report):
                self._stems.put(stems)
                yield
        except DemixError as error:
            self._failed = error
            self.close()
        except ClosedError:  # the writer has failed
            pass
        else:
            self._stems.end()

    def _computed(self, opened: _Opened, report: Report | None) -> Iterator[Tensor]:
        """The stems, block by block."""
        return self._demixer.stream(
            self._blocks,
            opened.form.sample_rate_hz,
            samples=opened.form.frames,
            best=self.order.best,
            statistics=opened.statistics,
            report=report,
        )

    # In threads

    def _read(self) -> None:
        """Open the song and send its blocks."""
        try:
            with seekable(self.order.song, self._threads.waiting) as source:
                self._opened.set_result(self._open(source))
                warn = functools.partial(_warn, self.order.song)
                for block in read_blocks(source, stream=self.order.stream, warn=warn):
                    self._blocks.put(block)
            self._blocks.end()
        except BaseException as error:  # raised by the thread that computes
            if not self._opened.done():
                self._opened.set_exception(error)
            self._blocks.end(error)

    def _open(self, source: Path) -> _Opened:
        """Check the song, and measure it if a member needs that."""
        form = song_format(source, self.order.stream)
        audio.check_format(form.sample_rate_hz, form.channels)
        for path in self.order.paths.values():
            encoders.check(path.suffix[1:], form)
        statistics = None
        if self._demixer.normalises:
            # The second pass warns.
            blocks = read_blocks(source, stream=self.order.stream, warn=lambda _: None)
            song = self._blocks.while_open(blocks)
            statistics = measured(self._demixer.recipe, song, form.sample_rate_hz)
        return _Opened(form=form, statistics=statistics)

    def _write(self, form: SongFormat) -> None:
        """Write the stems that arrive."""
        try:
            self._write_files(form)
        except BaseException as error:  # raised by the thread that waits for the files
            self._written.set_exception(error)
        else:
            self._written.set_result(None)
        finally:
            self._stems.close()

    def _write_files(self, form: SongFormat) -> None:
        """Write all files, or none."""
        order = self.order
        with whole_files(list(order.paths.values()), replace=order.replace) as stage:
            stems = iter(self._stems)
            if order.rescale:
                stems = rescaled(stems, stage[0].parent)
            staged = dict(zip(order.paths, stage, strict=True))
            for _ in write_stems(stems, staged, form, bits=order.bits, bitrate=order.bitrate):
                pass


def _warn(song: Path, text: str) -> None:
    """Log what is wrong with a song that can still be separated."""
    logger.warning("%s: %s", song, text)
