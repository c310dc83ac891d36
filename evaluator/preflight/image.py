"""What gets into the image: .dockerignore, and packages in requirements*.txt."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Ignored:
    """The lines of a .dockerignore.

    Attributes:
        lines: without comments and empty ones, in their order; the last that fits counts.
    """

    lines: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the file of a folder; there need not be one.

        Args:
            folder: where the Dockerfile lies.
        """
        try:
            text = (folder / ".dockerignore").read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return cls(())
        lines = (line.strip() for line in text.splitlines())
        return cls(tuple(line for line in lines if line and not line.startswith("#")))

    def by(self, name: str) -> str:
        """The line that keeps a file out of the image, or nothing if it gets in.

        Args:
            name: relative to the folder, with ``/``.

        >>> rules = Ignored(("*", "!models/", "**/*.tmp"))
        >>> rules.by("models/a.bin"), rules.by("data/a.bin"), rules.by("models/a.tmp")
        ('', '*', '**/*.tmp')
        """
        parts = name.split("/")
        # A line that fits a folder fits all that is in it.
        places = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        found = ""
        for line in self.lines:
            pattern = _pattern(line.removeprefix("!"))
            if any(pattern.fullmatch(place) for place in places):
                found = "" if line.startswith("!") else line
        return found


def _pattern(line: str) -> re.Pattern[str]:
    """Go's filepath.Match, with ``**`` for any number of folders, as Docker documents it."""
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


def required(folder: Path, package: str) -> bool:
    """Whether a requirements*.txt of a folder has a package."""
    wanted = _normal(package)
    for path in sorted(folder.glob("requirements*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            if name and _normal(name[1]) == wanted:
                return True
    return False


def _normal(name: str) -> str:
    """A package's name as the registry compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
