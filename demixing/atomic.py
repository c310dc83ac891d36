"""Atomic writes: files and folders appear complete or not at all.

Data is written to a folder ``.unfinished-*`` beside its target and moved to its final name when it
is complete. A move within one file system is atomic, so readers never see a partial file. If an
exception interrupts the writing, the unfinished part is removed. Leftovers of a killed process are
found by name; see :func:`clear`.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

UNFINISHED = ".unfinished-"
"""Prefix of the names of unfinished files and folders."""


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Make a folder for unfinished files, and remove it afterwards.

    Args:
        folder: an existing folder; the new one is created in it.

    Yields:
        The new folder, readable only by this user.

    Raises:
        OSError: it cannot be created.
    """
    stage = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


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
