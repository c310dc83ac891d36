"""Reads all stems of a song in step: block by block, in constant memory, ahead of their use.

While one block is being scored, threads read the next one: libsndfile does not need Python's lock.
Files of 16 and 24 bits are exact in float32; the leaderboard rounds others in the same way.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing.evaluation import audio, stem_streams
from demixing.evaluation.audio import Layout
from demixing.evaluation.stem_file import is_stream

BLOCK = 2**16
"""Samples per read: for four stereo stems, 4 MiB of references and estimates."""

READERS = 2
"""Threads: decoding is bound by the processor, and one more core scores meanwhile."""

STEP_16 = np.float32(2**-15)
"""Full scale of 16 bits is 1."""

Stems = NDArray[np.float32]
"""``(stems, samples, channels)``."""


class _Reader(Protocol):
    """Reads a file from its beginning to its end."""

    def read_into(self, target: NDArray[np.float32]) -> int:
        """Fill ``(samples, channels)`` with what comes next; return the number of samples read."""


class _File:
    """A file that libsndfile reads.

    16-bit samples are read as integers and scaled here, which has the same result and takes a
    quarter of the time.

    Args:
        path: of the file.
        stack: closes it.
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._file = stack.enter_context(soundfile.SoundFile(os.fsencode(path)))

    def read_into(self, target: NDArray[np.float32]) -> int:
        if self._file.subtype != "PCM_16":
            return len(self._file.read(out=target))
        found = self._file.read(len(target), dtype="int16", always_2d=True)
        target[: len(found)] = found
        target *= STEP_16
        return len(found)


class _Stream:
    """One of several streams in a file.

    Args:
        path: of the stream.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read_into(self, target: NDArray[np.float32]) -> int:
        found = stem_streams.part(self._path, self._position, len(target))
        target[: len(found)] = found
        self._position += len(found)
        return len(found)


def blocks(
    references: Sequence[Path], estimates: Sequence[Path], layout: Layout, block: int = BLOCK
) -> Iterator[tuple[int, Stems, Stems]]:
    """Read the files of a song.

    Args:
        references: a file per stem.
        estimates: likewise, in the same order.
        layout: of all files, as :func:`demixing.evaluation.audio.probe` found it.
        block: samples per block.

    Yields:
        Position of the block's first sample, references and estimates. The arrays are written to
        again after the next block. Samples may be anything, also NaN.

    Raises:
        EvaluationError: a file cannot be decoded to its end.
    """
    paths = [*references, *estimates]
    shape = (len(paths), min(block, layout.samples), layout.channels)
    buffers = [np.empty(shape, np.float32) for _ in range(2)]
    starts = range(0, layout.samples, block)
    with ExitStack() as stack:
        readers = [_opened(path, stack) for path in paths]
        pool = stack.enter_context(ThreadPoolExecutor(READERS))

        def begin(number: int) -> list[Future[None]]:
            start = starts[number]
            into = buffers[number % 2][:, : layout.samples - start]
            return [
                pool.submit(_read, path, reader, into[index], start, layout.samples)
                for index, (path, reader) in enumerate(zip(paths, readers, strict=True))
            ]

        reading = begin(0)
        for number, start in enumerate(starts):
            for one in reading:
                one.result()
            reading = begin(number + 1) if number + 1 < len(starts) else []
            found = buffers[number % 2][:, : layout.samples - start]
            yield start, found[: len(references)], found[len(references) :]


def _opened(path: Path, stack: ExitStack) -> _Reader:
    """Open a file or a stream."""
    if is_stream(path):
        return _Stream(path)
    with audio.errors_about(path):
        return _File(path, stack)


def _read(
    path: Path, reader: _Reader, target: NDArray[np.float32], start: int, samples: int
) -> None:
    """Fill one stem of a block.

    Args:
        path: for messages.
        reader: of the file, at ``start``.
        target: ``(samples, channels)``.
        start: position of the block.
        samples: length of the file by its header.
    """
    with audio.errors_about(path):
        read = reader.read_into(target)
    if read != len(target):
        raise audio.cut_off(path, samples, start + read)
