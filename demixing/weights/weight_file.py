"""Opens a file of weights once: what was verified is what is read.

A path may lead to another file a moment later. So a file is opened, verified and read through one
descriptor. That it was not written to meanwhile is checked at the end.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from demixing.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """An open file.

    Attributes:
        path: under which it was opened; for messages and suffixes, never to open it again.
        stream: at any position.
        size_bytes: when it was opened.
        changed_ns: when it was last changed: its contents, and its inode.
    """

    path: Path
    stream: BinaryIO
    size_bytes: int
    changed_ns: tuple[int, int]

    def start(self) -> BinaryIO:
        """The stream, at its start."""
        self.stream.seek(0)
        return self.stream

    def contents(self) -> bytes:
        """All of it."""
        return self.start().read(self.size_bytes)

    def check_unchanged(self) -> None:
        """Raise if the file was written to since it was opened.

        Raises:
            CheckpointError: it was.
        """
        status = os.fstat(self.stream.fileno())
        if (status.st_size, _changed_ns(status)) != (self.size_bytes, self.changed_ns):
            raise CheckpointError(f"{self.path} was changed while it was read; try again")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[WeightFile]:
    """Open a file of weights.

    Raises:
        OSError: it cannot be opened, or is not a file.
    """
    with open(path, "rb", opener=_without_waiting) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        yield WeightFile(
            path=path,
            stream=stream,
            size_bytes=status.st_size,
            changed_ns=_changed_ns(status),
        )


def _without_waiting(path: str, flags: int) -> int:
    """Open a path; a pipe would otherwise wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _changed_ns(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns
