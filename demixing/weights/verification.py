"""Verifies files against the catalogue before they are opened."""

import hashlib
import logging
from pathlib import Path

from demixing.errors import CheckpointError
from demixing.weights.catalogue import Checkpoint

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


def verify(path: Path, checkpoint: Checkpoint) -> None:
    """Raise unless a file matches the catalogue.

    If no hash is published, only the size is compared, and a warning is logged.

    Raises:
        CheckpointError: the file is missing or its contents differ.
    """
    condition, explanation = examine(path, checkpoint)
    if condition == UNPINNED:
        logger.warning("%s: %s", checkpoint.name, explanation)
    elif condition != OK:
        raise CheckpointError(explanation)


def examine(path: Path, checkpoint: Checkpoint) -> tuple[str, str]:
    """Check a file.

    Returns:
        One of this module's constants, and a sentence that explains it; empty for :data:`OK`.
    """
    remedy = checkpoint.remedy()
    if not path.is_file():
        return MISSING, f"no weights for {checkpoint.name!r} at {path}; {remedy}"
    try:
        with path.open("rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                return POINTER, (
                    f"{path} is a Git-LFS pointer instead of {checkpoint.name!r}; "
                    f"run: git lfs pull, or {remedy}"
                )
        size_bytes = path.stat().st_size
        if checkpoint.size_bytes not in (None, size_bytes):
            return TRUNCATED if size_bytes < (checkpoint.size_bytes or 0) else WRONG_SIZE, (
                f"{path} is not the registered {checkpoint.name!r}: expected "
                f"{checkpoint.size_bytes} bytes, got {size_bytes}; {remedy}"
            )
        found = sha256_of(path) if checkpoint.sha256 else ""
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
