"""Songs from pipes: standard input, FIFOs and process substitution are copied to a temporary file.

A song is read several times, which a pipe does not allow. Where the system permits, the copy has no
name, so nothing is left of it whatever happens to this process.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from demixing.errors import SongError

STDIN = Path("/dev/stdin")
"""Standard input, even where the system has no such file."""

NUMBERED = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
"""Paths of files that the shell opened for us; the group is the number."""

MOST_SHARE = 0.5
"""A copy takes at most this share of the free space of the disk: a pipe may have no end."""

STEP_BYTES = 1 << 20
OPEN_FILES = Path("/proc/self/fd")


@contextlib.contextmanager
def seekable(
    song: Path, waiting: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
) -> Iterator[Path]:
    """Give a path that can be read several times, which is the song's own for a file.

    Args:
        song: of a file, or of a pipe. Errors are raised as for a file.
        waiting: context in which a pipe is copied, since the other program may never write.

    Yields:
        The path to read; exists as long as the context.

    Raises:
        SongError: the pipe is empty or a terminal, or the copy does not fit on the disk. Errors in
            the context name the song in place of the copy.
    """
    if not _is_pipe(song):
        yield song
        return
    with _temporary() as (file, path):
        with waiting():
            _copy(song, file)
        try:
            yield path
        except SongError as error:
            raise SongError(str(error).replace(str(path), str(song))) from error


def _is_pipe(song: Path) -> bool:
    """Whether a path is of something that can be read only once."""
    try:
        mode = song.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


@contextlib.contextmanager
def _temporary() -> Iterator[tuple[IO[bytes], Path]]:
    """A temporary file, open for writing, and its path."""
    if OPEN_FILES.is_dir():
        with tempfile.TemporaryFile() as file:
            yield file, OPEN_FILES / str(file.fileno())
    else:
        with tempfile.NamedTemporaryFile(prefix="demixing-") as named_file:
            yield named_file, Path(named_file.name)


def _copy(song: Path, copy: IO[bytes]) -> None:
    """Copy a pipe to its end.

    Raises:
        SongError: it cannot be read, it is a terminal, or there is no space for it.
    """
    most_bytes = int(shutil.disk_usage(tempfile.gettempdir()).free * MOST_SHARE)
    try:
        with _opened(song) as pipe:
            if pipe.isatty():
                raise SongError(f"expected audio from {song}, got a terminal; name a file")
            while data := pipe.read(STEP_BYTES):
                if copy.tell() + len(data) > most_bytes:
                    raise SongError(
                        f"expected a song from {song} that fits into half of the free space of "
                        f"{tempfile.gettempdir()}, got more than {most_bytes} bytes; write it to "
                        "a file, or set TMPDIR to a larger disk"
                    )
                copy.write(data)
        copy.flush()
    except OSError as error:
        raise SongError(f"cannot copy {song} to a temporary file: {error.strerror}") from error
    if not copy.tell():
        raise SongError(f"expected audio from {song}, got nothing")


def _opened(song: Path) -> IO[bytes]:
    """Open a pipe; one that is open already is used as it is, since sockets cannot be opened."""
    number = NUMBERED.fullmatch(str(song))
    if song == STDIN or number:
        return os.fdopen(os.dup(int(number[1]) if number else 0), "rb")
    return song.open("rb")
