"""Determines which files of a repository get into its image, from .dockerignore like Docker."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from demixing import small_files
from demixing.errors import EvaluationError

MOST_BYTES = 16 * 1024
"""Size of a .dockerignore; each of its lines is compared with each file at the top."""


@dataclass(frozen=True)
class Ignored:
    """The lines of a .dockerignore.

    Attributes:
        lines: without comments and empty lines, in order; the last match decides.
    """

    lines: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the .dockerignore of a folder; without one, nothing is ignored.

        Args:
            folder: contains the Dockerfile.

        Raises:
            EvaluationError: it cannot be read, or is too long.
        """
        path = folder / ".dockerignore"
        try:
            text = small_files.read_text(path, MOST_BYTES)
        except FileNotFoundError:
            return cls(())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not in UTF-8"
            raise EvaluationError(
                f"expected patterns of at most {MOST_BYTES} bytes in {str(path)!r}, but {reason}; "
                "correct it"
            ) from error
        lines = (line.strip() for line in text.splitlines())
        return cls(tuple(line for line in lines if line and not line.startswith("#")))

    def by(self, name: str) -> str:
        """The line that excludes a file from the image; empty if the file is included.

        Args:
            name: relative to the folder, with ``/``.

        >>> rules = Ignored(("*", "!models/", "**/*.tmp"))
        >>> rules.by("models/a.bin"), rules.by("data/a.bin"), rules.by("models/a.tmp")
        ('', '*', '**/*.tmp')
        """
        parts = name.split("/")
        # A line that matches a folder matches everything in it.
        paths = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        found = ""
        for line in self.lines:
            if any(_matches(line.removeprefix("!"), path) for path in paths):
                found = "" if line.startswith("!") else line
        return found


def _tokens(line: str) -> Iterator[str]:
    """The parts of a pattern of Go's filepath.Match, with ``**`` for any number of folders.

    Source: the documentation of Docker's build context.

    >>> list(_tokens("/a*/**/[b-d]?"))
    ['a', '*', '/', '**/', '[b-d]', '?']
    """
    clean = line.strip().strip("/").removeprefix("./")
    last = ""
    for token in _TOKEN.findall(clean):
        if token != last or not token.startswith("*"):  # repeated, they match the same
            yield token
        last = token


_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]][^\]]*\]|\\.|.", re.DOTALL)


def _matches(line: str, path: str) -> bool:
    """Whether a pattern matches a path, in a time that grows with the product of their lengths.

    A regular expression would take exponential time for some patterns, and the submission may be
    someone else's.
    """
    ends = {0}
    for token in _tokens(line):
        ends = _ends(token, path, ends)
        if not ends:
            return False
    return len(path) in ends


def _ends(token: str, path: str, starts: set[int]) -> set[int]:
    """Where a token may end that starts at one of some characters."""
    first = min(starts)
    if token == "**/":
        return starts | {at + 1 for at in range(first, len(path)) if path[at] == "/"}
    if token == "**":
        return {*range(first, len(path) + 1)}
    if token == "*":
        found = set()
        for at in range(first, len(path) + 1):
            if at in starts or (at - 1 in found and path[at - 1] != "/"):
                found.add(at)
        return found
    return {at + 1 for at in starts if at < len(path) and _is_one(token, path[at])}


def _is_one(token: str, character: str) -> bool:
    """Whether a token matches a character."""
    if token == "?":
        return character != "/"
    if len(token) > 2 and token[0] == "[":
        try:
            return re.fullmatch(token, character) is not None
        except re.error as error:
            raise EvaluationError(
                f"expected patterns in .dockerignore, got {token[:50]!a} ({error}); correct it"
            ) from error
    return character == token[-1]
