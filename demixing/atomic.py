"""Atomic writes: files and folders appear complete or not at all.

Data is written to a folder ``.unfinished-*`` beside its target and moved to its final name when it
is complete. A move within one file system is atomic, so readers never see a partial file. If an
exception interrupts the writing, the unfinished part is removed. What a killed process left in a
folder is removed when something is next written to that folder; see also :func:`clear`.

A process holds a lock on each of its unfinished folders, which the system releases when the process
ends, however it ends. So :func:`clear_abandoned` does not touch those of processes that are at
work. File systems without locks have no abandoned folders. A fork does not hold the locks of its
parent.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

UNFINISHED = ".unfinished-"
"""Prefix of the names of unfinished files and folders."""

POLL_S = 0.2
"""How often :func:`turn` tries again."""

NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Flags of opening: a link is not followed, and a pipe is not waited for."""

_held: set[int] = set()
"""The locks of this process."""


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Make a folder for unfinished files, and remove it afterwards.

    What killed processes left in ``folder`` is removed as well.

    Args:
        folder: an existing folder; the new one is created in it.

    Yields:
        The new folder, readable only by this user.

    Raises:
        OSError: it cannot be created.
    """
    clear_abandoned(folder)
    while True:
        stage = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
        try:
            lock = locked(stage)
        except BlockingIOError:  # it was taken for abandoned before it was locked
            continue
        if stage.exists():
            break
        unlock(lock)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        unlock(lock)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for temporary files in the system's, and remove it afterwards.

    Unlike one of :mod:`tempfile`, it does not stay for ever if this process is killed: the next
    call removes it.

    Raises:
        OSError: it cannot be created.
    """
    with staging(Path(tempfile.gettempdir())) as folder:
        yield folder


def locked(folder: Path) -> int | None:
    """Lock a folder until this process ends.

    Returns:
        A file descriptor that holds the lock; None if the folder is gone, or there are no locks.

    Raises:
        BlockingIOError: another process holds it.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    _held.add(descriptor)
    return descriptor


def unlock(lock: int | None) -> None:
    """Release what :func:`locked` returned, unless this process is a fork."""
    if lock in _held:
        _held.remove(lock)
        os.close(lock)


def _forget_locks() -> None:
    """Close a fork's copies of its parent's locks, which would outlive the parent."""
    while _held:
        with contextlib.suppress(OSError):
            os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


@contextlib.contextmanager
def turn(folder: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Hold the lock of a folder; while another process holds it, wait.

    Args:
        folder: to lock. Where there are no locks, nothing is waited for.
        waiting: called once before it waits.
    """
    said = False
    while True:
        try:
            lock = locked(folder)
            break
        except BlockingIOError:
            if not said:
                waiting()
            said = True
            time.sleep(POLL_S)
    try:
        yield
    finally:
        unlock(lock)


def publish(files: Mapping[Path, Path], *, replace: bool = True) -> None:
    """Move finished files to their final names: all of them, or none.

    Args:
        files: the final name of each file, on the same file system.
        replace: whether to replace files that exist.

    Raises:
        FileExistsError: a file exists that must not be replaced.
        OSError: a file cannot be moved.
    """
    done: list[Path] = []
    try:
        for stage, path in files.items():
            if replace:
                stage.replace(path)
            else:
                _move_to_new_name(stage, path)
                done.append(path)
    except BaseException:
        for path in done:
            path.unlink(missing_ok=True)
        raise


def _move_to_new_name(stage: Path, path: Path) -> None:
    """Move a file, but never replace one; also if two processes do so at the same time."""
    try:
        os.link(stage, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: between these two calls there is a gap
        if os.path.lexists(path):
            raise FileExistsError(
                errno.EEXIST, os.strerror(errno.EEXIST), stage, None, path
            ) from None
        stage.rename(path)
    else:
        stage.unlink()


@contextlib.contextmanager
def file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write or replace one file.

    Args:
        path: of the file; its folder exists.
        durable: wait until the contents are on disk, to survive a power failure.

    Yields:
        The path to write to, with the same file name. It is moved to ``path`` when the block ends
        without an error.

    Raises:
        OSError: it cannot be written.
    """
    with staging(path.parent) as stage:
        unfinished = stage / path.name  # in a folder of its own, so long names still fit
        yield unfinished
        if durable:
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
        unfinished.replace(path)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Write one folder.

    Args:
        path: of the folder, which is missing or empty; its parent exists.

    Yields:
        The folder to fill. It is moved to ``path`` when the block ends without an error.

    Raises:
        OSError: it cannot be written.
    """
    with staging(path.parent) as stage:
        yield stage
        stage.chmod(0o755)  # it was private until now
        stage.replace(path)


def write_text(
    path: Path, text: str, *, errors: str = "strict", newline: str | None = None
) -> None:
    """Write a UTF-8 text file atomically.

    Args:
        path: of the file, which is replaced if it exists; its folder exists.
        text: contents.
        errors: how to handle characters that UTF-8 cannot encode; see :func:`open`.
        newline: line ending; see :func:`open`.

    Raises:
        OSError: it cannot be written.
    """
    with file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors=errors, newline=newline)


def resumable(path: Path) -> Path:
    """Path where an unfinished download of ``path`` is kept until a later run completes it.

    >>> resumable(Path("weights/a.th")).name
    '.unfinished-a.th'
    """
    return path.with_name(UNFINISHED + path.name.lstrip("."))


def create(path: Path) -> BinaryIO:
    """Open a new file of this process; what had its name is removed, and never written to.

    Raises:
        OSError: it cannot be created.
    """
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINKS, 0o666), "wb")


def extend(path: Path) -> BinaryIO:
    """Open an unfinished file to append to it.

    Returns:
        The file at its end. One that is a link, has another name as well, or is no regular file is
        replaced by an empty one.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | NO_LINKS)
    except OSError:  # it is missing, or a link
        return create(path)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        return create(path)
    return os.fdopen(descriptor, "ab")


def clear(folder: Path, *, recursive: bool = False) -> None:
    """Remove unfinished files and folders that killed processes left behind.

    Args:
        folder: to look in.
        recursive: also look in its subfolders.

    Raises:
        OSError: something cannot be removed.
    """
    pattern = f"{UNFINISHED}*"
    for left in list(folder.rglob(pattern) if recursive else folder.glob(pattern)):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def clear_abandoned(folder: Path) -> None:
    """Remove the unfinished folders that killed processes left directly in a folder.

    Unlike :func:`clear`, it keeps those of processes that are still at work. What cannot be removed
    stays.
    """
    if fcntl is None:
        return
    for left in list(folder.glob(f"{UNFINISHED}*")) if folder.is_dir() else []:
        if left.is_symlink() or not left.is_dir():
            continue
        with contextlib.suppress(BlockingIOError):
            lock = locked(left)
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                unlock(lock)
