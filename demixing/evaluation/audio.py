"""Reads stems in blocks and rejects damaged files.

Audio is float64, ``(samples, channels)``, full scale at ±1. Headers are checked against the data.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing.errors import EvaluationError
from demixing.evaluation import stem_streams
from demixing.evaluation.stem_file import is_stream

BLOCK = 2**18
"""Samples per read: 4 MiB of stereo."""

LARGEST = 1e18
"""Larger samples overflow the leaderboard's float32 when squared, so they count as infinite."""

_SHORTFALL = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_LENGTH = 2**32 - 1  # in the header of a WAV that was written to a pipe


@dataclass(frozen=True, slots=True)
class Layout:
    """The format that two files must share to be compared.

    Attributes:
        sample_rate_hz: sample rate from the header.
        channels: number of channels from the header.
        samples: per channel, from the header.
    """

    sample_rate_hz: int
    channels: int
    samples: int

    def __str__(self) -> str:
        plural = "" if self.channels == 1 else "s"
        return f"{self.sample_rate_hz} Hz, {self.channels} channel{plural}, {self.samples} samples"


def probe(path: Path) -> Layout:
    """Read the header of a file.

    Raises:
        EvaluationError: it is not an audio file, has no samples, or was cut off.
    """
    if is_stream(path):
        return _probe_stream(path)
    with errors_about(path), soundfile.SoundFile(os.fsencode(path)) as file:
        layout = Layout(file.samplerate, file.channels, file.frames)
        _check_complete(path, layout, file.extra_info)
    return layout


def blocks(path: Path, samples: int, block: int = BLOCK) -> Iterator[NDArray[np.float64]]:
    """Read a file block by block.

    Args:
        path: audio file.
        samples: length per channel that :func:`probe` found; the file must have it.
        block: samples per block.

    Yields:
        Blocks, ``(samples, channels)``; only the last one may be shorter than ``block``.

    Raises:
        EvaluationError: the file cannot be decoded to its end, or a sample is not finite.
    """
    if is_stream(path):
        yield from _stream_blocks(path, samples, block)
        return
    with errors_about(path), soundfile.SoundFile(os.fsencode(path)) as file:
        for start in range(0, samples, block):
            expected = min(block, samples - start)
            audio = file.read(expected, dtype="float64", always_2d=True)
            if len(audio) != expected:
                raise cut_off(path, samples, start + len(audio))
            _check_finite(path, audio, start)
            yield audio


def read(path: Path) -> tuple[NDArray[np.float64], int]:
    """Read a whole file.

    Returns:
        Audio, ``(samples, channels)``, and the sample rate in Hz.

    Raises:
        EvaluationError: see :func:`probe` and :func:`blocks`.
    """
    layout = probe(path)
    return np.concatenate(list(blocks(path, layout.samples))), layout.sample_rate_hz


def _probe_stream(path: Path) -> Layout:
    """As :func:`probe`, for a stream of a file with several."""
    with errors_about(path):
        found = stem_streams.probe(path)
    layout = Layout(found.rate_hz, found.channels, found.samples)
    _check_complete(path, layout, "")
    return layout


def check_finite(path: Path, start: int, samples: int) -> None:
    """Read a part of a file again, to name the first sample in it that cannot be squared.

    Args:
        path: audio file.
        start: first sample of the part.
        samples: length of the part.

    Raises:
        EvaluationError: there is such a sample.
    """
    with errors_about(path):
        if is_stream(path):
            found = stem_streams.part(path, start, samples).astype(np.float64)
        else:
            found, _ = soundfile.read(
                os.fsencode(path), samples, start, dtype="float64", always_2d=True
            )
    _check_finite(path, found, start)


def _stream_blocks(path: Path, samples: int, block: int) -> Iterator[NDArray[np.float64]]:
    """As :func:`blocks`, for a stream of a file with several."""
    with errors_about(path):
        for start in range(0, samples, block):
            expected = min(block, samples - start)
            audio = stem_streams.part(path, start, expected).astype(np.float64)
            if len(audio) != expected:
                raise cut_off(path, samples, start + len(audio))
            _check_finite(path, audio, start)
            yield audio


def cut_off(path: Path, samples: int, found: int) -> EvaluationError:
    """The error of a file with fewer samples than its header gives."""
    return EvaluationError(
        f"expected {samples} samples in {str(path)!r} by its header, found "
        f"{found}; the file was cut off, write it again"
    )


@contextmanager
def errors_about(path: Path) -> Iterator[None]:
    """Convert libsndfile's and FFmpeg's errors into :class:`EvaluationError`."""
    try:
        yield
    except stem_streams.StemFileError as error:
        raise EvaluationError(str(error)) from error
    except soundfile.LibsndfileError as error:
        raise EvaluationError(
            f"expected a readable wav or flac file at {str(path)!r}, but "
            f"{error.error_string.strip(' .')!r}; write it again"
        ) from error


def _check_complete(path: Path, layout: Layout, header_log: str) -> None:
    """Raise unless the file has samples, and as many bytes as its header promises.

    libsndfile silently shortens a WAV that was cut off; only its log says so. Without this check, a
    reference and an estimate that end at the same point would compare well.

    Args:
        path: path for messages.
        layout: as libsndfile reports it.
        header_log: libsndfile's log of the header.
    """
    if layout.samples == 0:
        raise EvaluationError(f"expected audio in {str(path)!r}, found no samples; write it again")
    shortfall = _SHORTFALL.search(header_log)
    if shortfall is None:
        return
    promised_bytes, found_bytes = int(shortfall[1]), int(shortfall[2])
    # Compared in samples, because some writers count a padding byte that they do not write.
    promised = promised_bytes // (found_bytes // layout.samples)
    if promised > layout.samples and promised_bytes != _UNKNOWN_LENGTH:
        raise EvaluationError(
            f"expected {promised_bytes} bytes of audio in {str(path)!r} by its header, "
            f"found {found_bytes}; the file was cut off, write it again"
        )


def _check_finite(path: Path, audio: NDArray[np.float64], start: int) -> None:
    """Raise unless every sample is a number that can be squared.

    Args:
        path: path for messages.
        audio: a block, ``(samples, channels)``.
        start: position of its first sample in the file.
    """
    # Not ``abs(audio) > LARGEST``: a NaN compares false to everything.
    good = np.abs(audio) <= LARGEST
    if not good.all():
        sample, channel = (int(index) for index in np.argwhere(~good)[0])
        raise EvaluationError(
            f"expected finite samples in {str(path)!r}, found {audio[sample, channel]} at "
            f"sample {start + sample} of channel {channel}; fix the program that wrote the file"
        )
