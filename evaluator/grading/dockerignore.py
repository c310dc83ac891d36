"""Determines which files of a repository get into its image, from .dockerignore like Docker."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self


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
        """
        try:
            text = (folder / ".dockerignore").read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return cls(())
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
            pattern = _pattern(line.removeprefix("!"))
            if any(pattern.fullmatch(path) for path in paths):
                found = "" if line.startswith("!") else line
        return found


def _pattern(line: str) -> re.Pattern[str]:
    """A pattern of Go's filepath.Match, with ``**`` for any number of folders.

    Source: the documentation of Docker's build context.
    """
    clean = line.strip().strip("/").removeprefix("./")
    result, at = "", 0
    while at < len(clean):
        rest = clean[at:]
        if rest.startswith("**/"):
            result, at = result + "(?:.*/)?", at + 3
        elif rest.startswith("**"):
            result, at = result + ".*", at + 2
        elif rest[0] == "*":
            result, at = result + "[^/]*", at + 1
        elif rest[0] == "?":
            result, at = result + "[^/]", at + 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2) + 1
            result, at = result + rest[:end], at + end
        elif rest[0] == "\\" and len(rest) > 1:
            result, at = result + re.escape(rest[1]), at + 2
        else:
            result, at = result + re.escape(rest[0]), at + 1
    return re.compile(result, re.DOTALL)
