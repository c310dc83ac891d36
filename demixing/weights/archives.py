"""Reads zip and tar archives whose contents are not trusted: nothing is unpacked to disk.

Only what is in the file counts, not what the archive says of itself. Members must be regular files,
links are not followed, and what is read is bounded by the size of the archive.
"""

import contextlib
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, cast

from demixing.errors import CheckpointError
from demixing.weights import bounds
from demixing.weights.weight_file import WeightFile

MOST_DIRECTORY_BYTES = 16 << 20
"""List of a zip archive's members; some 200,000."""

MOST_MEMBERS = 10_000
"""Members of a tar archive."""

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"

LOCAL_HEADER_BYTES, NAME_LENGTH, ENCRYPTED = 30, 26, 1
"""Of a member's header: its length, where the lengths of name and extra field are, and a flag.

Source: APPNOTE.TXT of PKWARE, 4.3.7.
"""


def is_zip(file: WeightFile) -> bool:
    """Whether a file begins as torch's archives do."""
    return file.start().read(len(ZIP)) == ZIP


def zipped(file: WeightFile) -> zipfile.ZipFile:
    """Open a zip archive.

    Raises:
        CheckpointError: its list of members is too long.
        zipfile.BadZipFile: it is none.
    """
    stream = _Directory(file)
    archive = zipfile.ZipFile(cast("IO[bytes]", stream))
    stream.most_bytes = file.size_bytes
    return archive


def stored(file: WeightFile, member: zipfile.ZipInfo) -> BinaryIO:
    """The file at the start of a member that must not be compressed, as torch writes them.

    Checksums are not compared: torch may leave them out, and they protect against damage only.

    Raises:
        UnpicklingError: it is compressed or encrypted.
    """
    plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & ENCRYPTED
    if not plain or member.file_size != member.compress_size:
        raise pickle.UnpicklingError("its numbers are compressed")
    file.stream.seek(member.header_offset)
    header = file.stream.read(LOCAL_HEADER_BYTES)
    if header[: len(ZIP)] != ZIP or len(header) < LOCAL_HEADER_BYTES:
        raise pickle.UnpicklingError("its list of members is wrong")
    file.stream.seek(sum(struct.unpack_from("<HH", header, NAME_LENGTH)), os.SEEK_CUR)
    return file.stream


class _Directory:
    """A zip archive's stream; zipfile reads the list of members at once."""

    def __init__(self, file: WeightFile) -> None:
        self._path, self._stream = file.path, file.stream
        self.most_bytes = MOST_DIRECTORY_BYTES
        self.seek, self.tell = file.stream.seek, file.stream.tell

    def read(self, size: int = -1) -> bytes:
        """Read a number of bytes."""
        if size > self.most_bytes:
            raise CheckpointError(f"{self._path} was not loaded: it has too many members")
        return self._stream.read(size)

    def seekable(self) -> bool:
        """Whether positions can be set."""
        return True


def fill(stream: IO[bytes], numbers: memoryview) -> None:
    """Read as many bytes as fit into a buffer.

    Raises:
        UnpicklingError: the stream ends before.
    """
    while len(numbers):
        done = cast("Any", stream).readinto(numbers)
        if not done:
            raise pickle.UnpicklingError("it ends too early")
        numbers = numbers[done:]


@contextlib.contextmanager
def opened_member(file: WeightFile, name: str) -> Iterator[IO[bytes]]:
    """Open one file of a zip or tar archive.

    Raises:
        CheckpointError: there is none, or it is a link.
    """
    if is_zip(file):
        with zipped(file) as archive, archive.open(name) as contents:
            yield contents
        return
    with tarred(file) as members:
        for found, member in members:
            if found == name:
                yield member()
                return
    raise CheckpointError(f"{name[:200]} in {file.path} is not a file")


@contextlib.contextmanager
def tarred(file: WeightFile) -> Iterator[Iterator[tuple[str, Callable[[], IO[bytes]]]]]:
    """Go through a tar archive, which may be compressed with gzip.

    Yields:
        The names of its regular files in order, with a function that opens them; they are read
        before the next one.

    Raises:
        CheckpointError: it would need far more memory than it has bytes.
        Exception: of any kind, if it is damaged.
    """
    compressed = file.start().read(len(GZIP)) == GZIP
    factor = bounds.COMPRESSED if compressed else bounds.STORED
    with contextlib.ExitStack() as stack:
        stream: IO[bytes] = file.start()
        if compressed:
            stream = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=stream)))
        limited = cast("IO[bytes]", _Bounded(stream, file, bounds.most_bytes(file, factor)))
        archive = stack.enter_context(tarfile.open(fileobj=limited, mode="r|"))
        yield _members(archive, file, factor)


def _members(
    archive: tarfile.TarFile, file: WeightFile, factor: int
) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """Yield the regular files of an archive, each with a function that opens it."""
    for count, member in enumerate(archive):
        if count > MOST_MEMBERS:
            raise CheckpointError(f"{file.path} was not loaded: it has too many members")

        def contents(member: tarfile.TarInfo = member) -> IO[bytes]:
            bounds.check_bytes(file, member.size, factor)
            return archive.extractfile(member) or io.BytesIO()

        if member.isreg() and not member.issparse():
            yield member.name, contents


class _Bounded(io.RawIOBase):
    """A stream that ends with an error after a number of bytes."""

    def __init__(self, stream: IO[bytes], file: WeightFile, most_bytes: int) -> None:
        self._stream, self._file, self._left = stream, file, most_bytes

    def read(self, size: int = -1) -> bytes:
        """Read a number of bytes."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise CheckpointError(
                f"{self._file.path} was not loaded: its contents are far larger than its "
                f"{self._file.size_bytes} bytes"
            )
        return data
