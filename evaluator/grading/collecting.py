"""Collects stems from a folder that a submission can write to, and trusts nothing in it.

A link could lead to the true stems, a pipe could hang, a folder could stand where a file should,
and who has a file open can change it later. So files are opened without following links, must be
plain, and are copied; then the copy is looked at.
"""

import os
import shutil
import stat
from pathlib import Path

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation.audio import Layout, probe
from demixing.evaluation.songs import STEMS, wav_file


def collect(song: str, track: str, source: Path, target: Path, expected: Layout) -> str:
    """Copy the stems of a song, all or none.

    Args:
        song: name of its folder.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        source: folder of predictions that the submission wrote.
        target: folder of predictions that are kept.
        expected: what every stem must be.

    Returns:
        What is wrong, or nothing.

    Raises:
        EvaluationError: the copy cannot be written.
    """
    try:
        with atomic.folder(target / song) as unfinished:
            for stem in STEMS[track]:
                name = wav_file(track, song, stem)
                wrong = _copied(source, song, name, unfinished / name)
                if wrong:
                    raise _RefusedError(wrong)
                try:
                    found = probe(unfinished / name)
                except EvaluationError as error:
                    raise _RefusedError(f"{name} is no audio file that can be read") from error
                if found != expected:
                    raise _RefusedError(f"{name} has {found}, expected {expected}")
            if (target / song).exists():
                shutil.rmtree(target / song)
    except _RefusedError as error:
        return str(error)
    except OSError as error:
        raise _unwritable(target, error) from error
    return ""


class _RefusedError(Exception):
    """The stems of a song are not as they must be; the message says why."""


def _copied(source: Path, song: str, name: str, target: Path) -> str:
    """Copy one file; return what is wrong with it, or nothing."""
    try:
        folder = os.open(source / song, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        return f"there is no folder {song!a} of stems ({error.strerror})"
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        return f"{name} is missing, or no plain file ({error.strerror})"
    finally:
        os.close(folder)
    with open(file, "rb") as reader:  # noqa: PTH123
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return f"{name} is no plain file"
        with target.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
    return ""


def _unwritable(folder: Path, error: OSError) -> EvaluationError:
    """What to say of a folder that cannot be written to."""
    return EvaluationError(
        f"expected to keep stems in {str(folder)!r}, which failed ({error.strerror}); make room or "
        "choose another --output, then go on with --resume"
    )
