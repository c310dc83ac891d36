"""Writes reports: files that people name, which appear whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demixing import atomic
from demixing.errors import EvaluationError


def check_writable(path: Path) -> None:
    """Raise if a report cannot be written to ``path``; call it before long work.

    Raises:
        EvaluationError: its folder does not exist, or it is not a regular file.
    """
    with errors_about(path):
        if not path.parent.is_dir():
            raise EvaluationError(
                f"expected a folder at {str(path.parent)!r} to write {path.name!r} into, "
                "found none; create it"
            )
        # Replacing a device such as /dev/null with a file would harm the whole machine.
        if path.exists() and not path.is_file():
            raise EvaluationError(
                f"expected the path of a file for a report, got {str(path)!r}, which is a "
                "folder or a device; name a file"
            )


def write_report(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all.

    Args:
        path: is replaced if it exists.
        text: contents; line endings are kept.

    Raises:
        EvaluationError: it cannot be written.
    """
    check_writable(path)
    with errors_about(path):
        target = path.resolve()  # a link stays a link
        # Folder names need not be UTF-8; Python marks such bytes as lone surrogates.
        atomic.write_text(target, text, errors="backslashreplace", newline="")


@contextmanager
def errors_about(path: Path) -> Iterator[None]:
    """Convert errors of the file system while a file is written into :class:`EvaluationError`."""
    try:
        yield
    except OSError as error:
        raise EvaluationError(
            f"cannot write {str(path)!r} ({error.strerror}); choose another path"
        ) from error
