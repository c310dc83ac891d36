"""Collects stems from a folder that a submission can write to, and trusts nothing in it.

A link could lead to the true stems, a pipe could hang, a folder could be named like a stem, and a
process that has a file open can change it later. So files are opened without following links, must
be regular files, and are copied; then the copy is checked.
"""

import os
import shutil
import stat
from pathlib import Path

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout, probe
from demixing.evaluation.songs import STEMS, wav_file


class _RefusedError(Exception):
    """The stems of a song are invalid; the message gives the reason."""


def collect(song: str, track: str, source: Path, target: Path, expected: Layout) -> str:
    """Copy the stems of a song, all or none.

    Args:
        song: name of its folder.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        source: folder of predictions that the submission wrote.
        target: folder for the copied predictions.
        expected: sample rate, channels and length of every stem.

    Returns:
        The fault of the stems; empty if there is none.

    Raises:
        EvaluationError: the copy cannot be written.
    """
    try:
        with atomic.folder(target / song) as unfinished:
            for stem in STEMS[track]:
                name = wav_file(track, song, stem)
                _copy(source, song, name, unfinished / name)
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


def _copy(source: Path, song: str, name: str, target: Path) -> None:
    """Copy one file.

    Args:
        source: folder of predictions.
        song: name of the folder in it.
        name: name of the file.
        target: the copy.

    Raises:
        _RefusedError: the file is missing, or is not a regular file.
        OSError: the copy cannot be written.
    """
    try:
        folder = os.open(source / song, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _RefusedError(f"there is no folder {song!a} of stems ({error.strerror})") from error
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise _RefusedError(
            f"{name} is missing, or not a regular file ({error.strerror})"
        ) from error
    finally:
        os.close(folder)
    with open(file, "rb") as reader:  # noqa: PTH123
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise _RefusedError(f"{name} is not a regular file")
        with target.open("wb") as writer:
            shutil.copyfileobj(reader, writer)


def _check(file: Path, expected: Layout) -> None:
    """Check the layout of a copy.

    Raises:
        _RefusedError: it is not audio, or has an unexpected layout.
    """
    try:
        found = probe(file)
    except EvaluationError as error:
        raise _RefusedError(f"{file.name} is not a readable audio file") from error
    if found != expected:
        raise _RefusedError(f"{file.name} has {found}, expected {expected}")
