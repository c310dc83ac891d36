"""Reads small files that someone else may have put into a folder."""

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 64 * 1024**2
"""Size of the largest text; records of a thousand songs are a hundred times smaller."""

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file of limited size.

    Args:
        path: of the file; links are followed.
        most: its size in bytes at most.

    Raises:
        OSError: it cannot be read, is too large, or is a pipe, a device or a folder.
    """
    descriptor = os.open(path, _FLAGS)  # opening a pipe does not wait
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes", str(path))
    return found


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """As :func:`read_bytes`, for a text in UTF-8, with any line ends, with or without a mark.

    Raises:
        OSError: see :func:`read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    text = read_bytes(path, most).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")
