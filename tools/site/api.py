"""A line ``::: demixing.folder.*`` of an API page stands for all modules of the folder."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALL = re.compile(r"^::: (?P<package>[\w.]+)\.\*$", re.MULTILINE)


def expanded(markdown: str) -> str:
    """Write out the modules of folders.

    >>> expanded("::: demixing.evaluation.metrics.*").splitlines()[0]
    '::: demixing.evaluation.metrics'
    """
    return ALL.sub(_modules, markdown)


def _modules(line: re.Match[str]) -> str:
    """The folder's own docstring, and its public modules."""
    package = line["package"]
    names = sorted(path.stem for path in (ROOT / package.replace(".", "/")).glob("[a-z]*.py"))
    return "\n\n".join(f"::: {name}" for name in [package, *(f"{package}.{one}" for one in names)])
