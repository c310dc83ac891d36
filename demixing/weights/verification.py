"""Verifies files against the catalogue before anything in them is read."""

import contextlib
import errno
import hashlib
import logging
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import cast

from demixing.errors import CheckpointError
from demixing.weights.catalogue import Checkpoint
from demixing.weights.weight_file import WeightFile, opened

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""Start of the small text file that Git LFS leaves until the file itself is pulled.

Source: the Git LFS specification, version 1.
"""

OK = "ok"
UNPINNED = "no hash published"
MISSING = "missing"
POINTER = "Git-LFS pointer"
TRUNCATED = "truncated"
WRONG_SIZE = "wrong size"
WRONG_HASH = "wrong hash"
UNREADABLE = "unreadable"

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def verified(path: Path, checkpoint: Checkpoint) -> Iterator[WeightFile]:
    """Open a file that matches the catalogue; what is read from it is what was verified.

    If no hash is published, only the size is compared, and a warning is logged.

    Raises:
        CheckpointError: the file is missing, its contents differ, or they change meanwhile.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened(path))
        except OSError as error:
            raise CheckpointError(_unopened(path, checkpoint, error)[1]) from error
        condition, explanation = examined(file, checkpoint)
        if condition == UNPINNED:
            logger.warning("%s: %s", checkpoint.name, explanation)
        elif condition != OK:
            raise CheckpointError(explanation)
        yield file
        file.check_unchanged()


def verify(path: Path, checkpoint: Checkpoint) -> None:
    """Raise unless a file matches the catalogue; see :func:`verified`.

    Raises:
        CheckpointError: the file is missing or its contents differ.
    """
    with verified(path, checkpoint):
        pass


def examine(path: Path, checkpoint: Checkpoint) -> tuple[str, str]:
    """Check a file.

    Returns:
        One of this module's constants, and a sentence that explains it; empty for :data:`OK`.
    """
    try:
        with opened(path) as file:
            return examined(file, checkpoint)
    except OSError as error:
        return _unopened(path, checkpoint, error)


def _unopened(path: Path, checkpoint: Checkpoint, error: OSError) -> tuple[str, str]:
    """Why a file cannot be opened."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return UNREADABLE, f"cannot read {path}: {error.strerror}"
    return MISSING, f"no weights for {checkpoint.name!r} at {path}; {checkpoint.remedy()}"


def examined(file: WeightFile, checkpoint: Checkpoint) -> tuple[str, str]:
    """Check an open file; returns the same as :func:`examine`."""
    remedy, path = checkpoint.remedy(), file.path
    try:
        if file.start().read(len(LFS_POINTER)) == LFS_POINTER:
            return POINTER, (
                f"{path} is a Git-LFS pointer instead of {checkpoint.name!r}; "
                f"run: git lfs pull, or {remedy}"
            )
        size_bytes = file.size_bytes
        if checkpoint.size_bytes not in (None, size_bytes):
            return TRUNCATED if size_bytes < (checkpoint.size_bytes or 0) else WRONG_SIZE, (
                f"{path} is not the registered {checkpoint.name!r}: expected "
                f"{checkpoint.size_bytes} bytes, got {size_bytes}; {remedy}"
            )
        found = sha256(file) if checkpoint.sha256 else ""
    except OSError as error:
        return UNREADABLE, f"cannot read {path}: {error.strerror}"
    if not found.startswith(checkpoint.sha256):
        return WRONG_HASH, (
            f"{path} is not the registered {checkpoint.name!r}: expected sha256 "
            f"{checkpoint.sha256}, got {found}; {remedy}"
        )
    if not checkpoint.sha256:
        size = "only the size" if checkpoint.size_bytes else "nothing"
        return UNPINNED, f"its authors published no hash, so {size} of {path} was checked"
    return OK, ""


def sha256_of(path: Path) -> str:
    """Compute the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(file: WeightFile) -> str:
    """Compute the sha256 of an open file, in hexadecimal."""
    return hashlib.file_digest(cast("BufferedReader", file.start()), "sha256").hexdigest()
