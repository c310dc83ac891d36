"""Determines which packages get into the image, from requirements*.txt."""

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from demixing import small_files
from demixing.errors import EvaluationError

ENCODINGS: Mapping[bytes, str] = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the mark at the beginning of a file, as pip knows them; PowerShell writes UTF-16."""


def required(folder: Path, package: str) -> bool:
    """Whether a requirements*.txt in a folder lists a package.

    Raises:
        EvaluationError: one cannot be read.
    """
    wanted = _normal(package)
    for path in sorted(folder.glob("requirements*.txt")):
        for line in _text(path).splitlines():
            name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            if name and _normal(name[1]) == wanted:
                return True
    return False


def _text(path: Path) -> str:
    """A requirements file; bytes that are wrong in its encoding are in comments only.

    Raises:
        EvaluationError: it cannot be read.
    """
    try:
        found = small_files.read_bytes(path)
    except OSError as error:
        raise EvaluationError(
            f"expected requirements for pip in {str(path)!r}, but it cannot be read "
            f"({error.strerror}); replace or remove it"
        ) from error
    marks = (name for mark, name in ENCODINGS.items() if found.startswith(mark))
    return found.decode(next(marks, "utf-8"), errors="replace")


def _normal(name: str) -> str:
    """A package's name, normalised as by registries."""
    return re.sub(r"[-_.]+", "-", name).lower()
