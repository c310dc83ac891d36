"""Collects stems from a folder that a submission can write to, and trusts nothing in it.

A link could lead to the true stems, a pipe could hang, a folder could be named like a stem, a file
could claim to be endless, and a process that has a file open can change it later. So the folder was
opened before the submission started, names are looked up in open folders without following links,
and regular files of a plausible size are copied; then the copy is checked.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation.audio import LARGEST, Layout, blocks, probe
from demixing.evaluation.songs import STEMS, wav_file

SAMPLE_BYTES = 8
"""Size of the largest samples in a WAV: 64-bit floats."""

HEADER_BYTES = 2**20
"""Size of everything in a file but its samples, at most."""

PIECE_BYTES = 2**20


class _RefusedError(Exception):
    """The stems of a song are invalid; the message gives the reason."""


def collect(song: str, track: str, source: int, target: Path, expected: Layout) -> str:
    """Copy the stems of a song, all or none.

    Args:
        song: name of its folder.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        source: descriptor of the folder of predictions that the submission wrote.
        target: folder for the copied predictions.
        expected: sample rate, channels and length of every stem.

    Returns:
        The fault of the stems; empty if there is none.

    Raises:
        EvaluationError: the copy cannot be written.
    """
    try:
        with atomic.folder(target / song) as unfinished, _folder(song, source) as folder:
            for stem in STEMS[track]:
                name = wav_file(track, song, stem)
                _copy(name, folder, unfinished / name, _most_bytes(expected))
                _check(unfinished / name, expected)
            if (target / song).exists():
                shutil.rmtree(target / song)
    except _RefusedError as error:
        return str(error)
    except OSError as error:
        raise EvaluationError(
            f"cannot copy stems to {str(target)!r} ({error.strerror}); free some space or "
            "choose another --output, then continue with --resume"
        ) from error
    return ""


@contextlib.contextmanager
def _folder(song: str, source: int) -> Iterator[int]:
    """Open the folder of a song.

    Raises:
        _RefusedError: there is none, or something else has its name.
    """
    try:
        folder = os.open(song, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=source)
    except OSError as error:
        raise _RefusedError(f"there is no folder {song!a} of stems ({error.strerror})") from error
    try:
        yield folder
    finally:
        os.close(folder)


def open_regular(name: str, folder: int) -> int:
    """Open a regular file for reading.

    Args:
        name: of the file.
        folder: descriptor of the folder that it is in.

    Returns:
        A descriptor.

    Raises:
        OSError: there is none.
        ValueError: it is something else, or has several names.
    """
    _check_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
    # It may have been replaced since: then a pipe must not block, nor a link be followed.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    file = os.open(name, flags, dir_fd=folder)
    try:
        _check_regular(os.fstat(file))
    except ValueError:
        os.close(file)
        raise
    return file


def _check_regular(status: os.stat_result) -> None:
    """Raise unless this is the status of a regular file with one name."""
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise ValueError("not a regular file")


def _copy(name: str, folder: int, target: Path, most: int) -> None:
    """Copy one file.

    Args:
        name: of the file.
        folder: descriptor of the folder that it is in.
        target: the copy.
        most: largest plausible size in bytes.

    Raises:
        _RefusedError: the file is missing, too large, or not a regular file.
        OSError: the copy cannot be written.
    """
    try:
        file = open_regular(name, folder)
    except OSError as error:
        raise _RefusedError(
            f"{name} is missing, or not a regular file ({error.strerror})"
        ) from error
    except ValueError:
        raise _RefusedError(f"{name} is not a regular file") from None
    try:
        size = os.fstat(file).st_size
        if size > most:
            raise _RefusedError(f"{name} has {size} bytes, expected at most {most}")
        with target.open("wb") as writer:
            left = most
            while piece := _read(file, name):
                left -= len(piece)
                if left < 0:
                    raise _RefusedError(f"{name} grew beyond {most} bytes while it was copied")
                writer.write(piece)
    finally:
        os.close(file)


def _read(file: int, name: str) -> bytes:
    """Read a piece of a file of the submission.

    Raises:
        _RefusedError: it cannot be read.
    """
    try:
        return os.read(file, PIECE_BYTES)
    except OSError as error:
        raise _RefusedError(f"{name} cannot be read ({error.strerror})") from error


def _most_bytes(expected: Layout) -> int:
    """Size of the largest file with a layout."""
    return expected.samples * expected.channels * SAMPLE_BYTES + HEADER_BYTES


def _check(file: Path, expected: Layout) -> None:
    """Check that a copy can be scored; otherwise it would end the scoring of all songs.

    Raises:
        _RefusedError: it is not audio, has an unexpected layout, or has samples that cannot be
            decoded or are not finite.
    """
    try:
        found = probe(file)
    except EvaluationError as error:
        raise _RefusedError(f"{file.name} is not a readable audio file") from error
    if found != expected:
        raise _RefusedError(f"{file.name} has {found}, expected {expected}")
    try:
        for _ in blocks(file, expected.samples):
            pass
    except EvaluationError as error:
        text = f"{file.name} has samples that are damaged, not finite, or larger than {LARGEST:g}"
        raise _RefusedError(text) from error
