"""Why a file cannot be read, in one sentence."""

import os
import stat
from pathlib import Path

import soundfile

from demixing.errors import SongError

READ_ERRORS = (OSError, soundfile.LibsndfileError, TypeError)
"""Errors of soundfile for unreadable files; TypeError for ``.raw``, which has no header."""

NOT_AUDIO = {
    b"version https://git-lfs.github.com/spec/": "got a Git LFS pointer, not the audio itself; "
    "run: git lfs pull",
    b"#EXTM3U": "got a playlist, which names other files; give those",
    b"[playlist]": "got a playlist, which names other files; give those",
    b"ffconcat version": "got a playlist, which names other files; give those",
    b"<!DOCTYPE html": "got a web page; download the audio itself",
    b"<html": "got a web page; download the audio itself",
}
"""Beginnings of files that are often found in place of audio."""


def unreadable(path: Path, error: Exception) -> SongError:
    """Return an error that explains in one sentence why libsndfile cannot read a file."""
    try:
        check(path)
    except SongError as reason:
        return reason
    return SongError(
        f"expected WAV, FLAC, OGG or MP3 audio at {path}, but it cannot be read: {cause(error)}"
    )


def cause(error: Exception) -> str:
    """The message of the system or of a library, without the path."""
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return said.removeprefix("Error : ").rstrip(" .") or "not all of it was written"


def check(path: Path) -> None:
    """Raise unless there is a regular file with contents that may be audio.

    Raises:
        SongError: it is missing, empty, a folder, a pipe, or obviously something else.
    """
    try:
        status = path.stat()
        if fault := _fault(status):
            raise SongError(f"expected an audio file at {path}, {fault}")
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError as error:
        raise SongError(f"expected an audio file at {path}, but there is none") from error
    except OSError as error:
        raise SongError(f"expected an audio file at {path}, but: {error.strerror}") from error
    for beginning, fault in NOT_AUDIO.items():
        if head.removeprefix(b"\xef\xbb\xbf").startswith(beginning):
            raise SongError(f"expected audio at {path}, {fault}")


def _fault(status: os.stat_result) -> str:
    """What is wrong with a path that exists; empty if it may be audio."""
    if stat.S_ISDIR(status.st_mode):
        return "got a folder"
    if not stat.S_ISREG(status.st_mode):
        return "got a pipe or a device, which cannot be read twice; copy it to a file first"
    return "" if status.st_size else "got an empty file"
