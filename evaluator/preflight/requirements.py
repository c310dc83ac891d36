"""Determines which packages get into the image, from requirements*.txt."""

import re
from pathlib import Path


def required(folder: Path, package: str) -> bool:
    """Whether a requirements*.txt in a folder lists a package."""
    wanted = _normal(package)
    for path in sorted(folder.glob("requirements*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            if name and _normal(name[1]) == wanted:
                return True
    return False


def _normal(name: str) -> str:
    """A package's name, normalised as by registries."""
    return re.sub(r"[-_.]+", "-", name).lower()
