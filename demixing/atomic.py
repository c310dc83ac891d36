"""Files and folders that appear whole or not at all.

What is being written is in a folder ``.unfinished-*`` beside its target, and moves to its name when
it is complete. A move within one file system is atomic, so readers never see half of anything. If
an exception ends the writing, the unfinished part is removed; what a killed process leaves behind
is found by its name, see :func:`clear`.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

UNFINISHED = ".unfinished-"
"""Names of unfinished files and folders start with it."""


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Make a folder for unfinished files, and remove it afterwards.

    Args:
        folder: an existing one, in which it is made.

    Yields:
        The new folder, which only this user may read.

    Raises:
        OSError: it cannot be made.
    """
    stage = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Let one file appear, or replace it.

    Args:
        path: of the file; its folder exists.
        durable: wait until the contents are on the disk, so that they survive a power failure.

    Yields:
        Where to write instead, a path of the same name; it moves to ``path`` when the block ends
        without an error.

    Raises:
        OSError: it cannot be written.
    """
    with staging(path.parent) as stage:
        unfinished = stage / path.name  # in a folder of its own, so the name may have any length
        yield unfinished
        if durable:
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
        unfinished.replace(path)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """Let one folder appear.

    Args:
        path: of the folder, which does not exist yet or is empty; its parent exists.

    Yields:
        The folder to fill instead; it moves to ``path`` when the block ends without an error.

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
    """Write a text file in UTF-8, whole or not at all.

    Args:
        path: of the file, which is replaced if it exists; its folder exists.
        text: contents.
        errors: what to do about characters that UTF-8 does not have, see :func:`open`.
        newline: how lines end, see :func:`open`.

    Raises:
        OSError: it cannot be written.
    """
    with file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors=errors, newline=newline)


def resumable(path: Path) -> Path:
    """Where an unfinished download of ``path`` waits for the run that completes it.

    >>> resumable(Path("weights/a.th")).name
    '.unfinished-a.th'
    """
    return path.with_name(UNFINISHED + path.name.lstrip("."))


def clear(folder: Path, *, recursive: bool = False) -> None:
    """Remove what killed processes left unfinished in a folder.

    Args:
        folder: to look in.
        recursive: look in the folders below it, too.

    Raises:
        OSError: something cannot be removed.
    """
    pattern = f"{UNFINISHED}*"
    for left in list(folder.rglob(pattern) if recursive else folder.glob(pattern)):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
