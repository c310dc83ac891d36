"""Files on this machine and on object stores, by address.

An address is a path, or any that fsspec knows, such as ``s3://bucket/folder``. Credentials come
from the environment, as the store's own programs expect them; an address never contains them,
because addresses are printed and stored.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demixing.errors import ConfigError, DemixError, OutputError, SongError
from demixing.machine.installation import install_command

BLOCK = 1 << 20
_PROTOCOL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
S3 = ("s3", "s3a")
SYSTEM_FOLDERS = ("lost+found", "System Volume Information", "$RECYCLE.BIN")
"""At the top of disks: without songs, and closed to most users."""

_MISSING = (FileNotFoundError, NotADirectoryError)


class StoreError(OutputError):
    """A store did not answer as expected; another try may succeed."""


class RefusedError(StoreError):
    """A store or a disk refused, for want of rights, say; another try would not help."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file in a folder.

    Attributes:
        path: below the folder, with ``/``.
        size_bytes: None if the store does not say.
    """

    path: str
    size_bytes: int | None


def protocol(address: str) -> str:
    """The protocol of an address; empty for a path on this machine.

    >>> protocol("s3://bucket/songs"), protocol("songs/a.wav")
    ('s3', '')
    """
    found = _PROTOCOL.match(address)
    return found[1].lower() if found else ""


def checked(address: str) -> str:
    """Return an address without ``/`` at its end; a local one becomes an absolute path.

    Raises:
        ConfigError: such an address is not supported.
    """
    if "::" in address or "\0" in address:
        raise ConfigError(f"expected the address of one file or folder, got {address!r}")
    if protocol(address) == "file":
        address = address.partition("://")[2]
    if not protocol(address):
        return os.path.normpath(Path(address).absolute())
    try:
        server = urlsplit(address).netloc
    except ValueError as error:
        raise ConfigError(f"cannot use the address {hidden(address)!r}: {error}") from error
    if "@" in server:
        raise ConfigError(
            f"expected an address without a user or password, got {hidden(address)!r}: put them "
            "into the environment, as the store's own programs expect"
        )
    if protocol(address) in ("http", "https") and "?" in address:
        raise ConfigError(
            f"expected an address without a query, got {address.partition('?')[0] + '?...'!r}: it "
            "may contain a signature, and addresses are printed and stored"
        )
    return address.rstrip("/")


def hidden(address: str) -> str:
    """An address whose user and password are replaced.

    >>> hidden("ftp://me:secret@host/songs")
    'ftp://...@host/songs'
    """
    return re.sub(r"://[^/]*@", "://...@", address)


def opened(address: str) -> tuple[Any, str]:
    """The file system of a remote address, and the path in it.

    Raises:
        ConfigError: there is no such protocol, or its package is not installed.
    """
    import fsspec  # late: commands must start fast

    try:
        system, path = fsspec.url_to_fs(address)
    except ImportError as error:
        raise ConfigError(
            f"addresses like {protocol(address)}:// need a package that is not installed: {error}; "
            f"for S3 run: {install_command('s3')}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"cannot use the address {address!r}: {error}") from error
    system.invalidate_cache()  # other workers write, too
    if protocol(address) in S3:
        system.retries = 1  # of s3fs, up to 25 a read: below it botocore has its own, above a batch
    return system, path


@contextlib.contextmanager
def errors(what: str) -> Iterator[None]:
    """Convert what a store raises, of whatever class, to one sentence about what was tried."""
    try:
        yield
    except (DemixError, MemoryError):
        raise
    except Exception as error:  # each store has its own
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        kind = RefusedError if is_final(error) else StoreError
        raise kind(f"cannot {what} ({reason})") from error


def is_final(error: BaseException) -> bool:
    """Whether another try would end in the same way."""
    if isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError):
        return True
    return isinstance(error, OSError) and error.errno in (errno.EROFS, errno.ENAMETOOLONG)


def files(address: str) -> Iterator[Listed]:
    """All files below a folder, in any order; none if it does not exist.

    Files and folders whose names begin with a dot are left out.

    Raises:
        StoreError: it cannot be listed.
    """
    with errors(f"list {address!r}"):
        yield from (_remote if protocol(address) else _local)(address)


def _local(folder: str) -> Iterator[Listed]:
    """Files below a folder of this machine. Links to folders are not followed."""
    for place, folders, names in os.walk(folder, onerror=_unlisted):
        folders[:] = [one for one in folders if one[0] != "." and one not in SYSTEM_FOLDERS]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            with contextlib.suppress(*_MISSING):  # removed since, or a link to nothing
                facts = path.stat()
                if stat.S_ISREG(facts.st_mode):
                    yield Listed(path.relative_to(folder).as_posix(), facts.st_size)


def _unlisted(error: OSError) -> None:
    """Raise if a folder cannot be listed: its songs would be left out without a word."""
    if not isinstance(error, _MISSING):
        raise StoreError(f"cannot list {error.filename!r} ({error.strerror})") from error


def _remote(address: str) -> Iterator[Listed]:
    """Files below a folder of a store."""
    system, root = opened(address)
    try:
        found = system.find(root, detail=True)
    except FileNotFoundError:
        return
    for path, facts in found.items():
        below = path[len(root) :].lstrip("/")
        if below and not any(part.startswith(".") for part in below.split("/")):
            yield Listed(below, facts.get("size"))


def read(address: str, most: int) -> bytes | None:
    """The contents of a small file; None if there is none.

    Raises:
        StoreError: it cannot be read, or has more than ``most`` bytes.
    """
    with errors(f"read {address!r}"):
        try:
            found = _start(address, most + 1)
        except _MISSING:
            return None
    if len(found) > most:
        raise StoreError(f"cannot read {address!r}: it has more than {most} bytes")
    return found


def _start(address: str, count: int) -> bytes:
    """The first bytes of a file; on S3, one request, also if there is none."""
    if not protocol(address):
        with Path(address).open("rb") as file:  # read() takes as much memory as it is asked for
            return file.read(min(count, os.fstat(file.fileno()).st_size + 1))
    system, path = opened(address)
    found: bytes = system.cat_file(path, start=0, end=count)
    return found


def fetch(address: str, path: Path, most: int) -> None:
    """Copy a file to this machine.

    Args:
        address: of the file.
        path: of the copy.
        most: its size in bytes at most.

    Raises:
        SongError: it does not exist, or is larger.
        StoreError: it cannot be read.
    """
    with errors(f"fetch {address!r}"):
        try:
            with _open(address) as source, path.open("wb") as target:
                _copy(source, target, most, address)
        except _MISSING as error:
            raise SongError(f"there is no file at {address!r}") from error


def _open(address: str) -> Any:
    """Open a file to read its bytes."""
    if not protocol(address):
        return Path(address).open("rb")
    system, path = opened(address)
    return system.open(path, "rb")


def _copy(source: Any, target: Any, most: int, address: str) -> None:
    """Copy a stream of limited length."""
    copied = 0
    while block := source.read(BLOCK):
        copied += len(block)
        if copied > most:
            raise SongError(
                f"expected at most {most / 1e9:g} GB, but {address!r} has more; if it is a song, "
                "raise --most-gb"
            )
        target.write(block)


def remove(address: str) -> None:
    """Remove a file, if it is there.

    Raises:
        StoreError: it cannot be removed.
    """
    with errors(f"remove {address!r}"), contextlib.suppress(*_MISSING):
        if protocol(address):
            system, path = opened(address)
            system.rm_file(path)
        else:
            Path(address).unlink()
