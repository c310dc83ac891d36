"""What a grader hides or punishes, found before anything is pushed.

A check is a module in one of three folders, and its name is the key; a new check is a new file.
Each has a function ``find`` that yields findings. What it is given depends on the folder:

    output/       :class:`evaluator.preflight.graded.Graded`: what was separated
    records/      the same: times, memory and errors
    repository/   :class:`evaluator.preflight.checkout.Checkout`: what would be pushed
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FAULT = "fault"
"""Costs the score or the submission."""

NOTE = "note"
"""Worth knowing; a submission with it may be as good as can be."""

OUTPUT, RECORDS, REPOSITORY = "output", "records", "repository"
KINDS = (OUTPUT, RECORDS, REPOSITORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        severity: :data:`FAULT` or :data:`NOTE`.
        what: was found, with the names and figures.
        why: that matters.
        how: to mend it.
        check: name of the module that found it; :func:`findings` fills it in.
    """

    severity: str
    what: str
    why: str
    how: str
    check: str = ""

    def __str__(self) -> str:
        text = f"{self.severity} [{self.check}] {self.what}; {self.why}; {self.how}"
        # Names of files and messages of a submission are not trusted to be one line.
        return "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )


def fault(what: str, why: str, how: str) -> Finding:
    """A finding that costs the score or the submission."""
    return Finding(severity=FAULT, what=what, why=why, how=how)


def note(what: str, why: str, how: str) -> Finding:
    """A finding that is worth knowing."""
    return Finding(severity=NOTE, what=what, why=why, how=how)


def names(kind: str) -> list[str]:
    """Names of all checks of a kind, without importing any.

    >>> "clipped" in names(OUTPUT)
    True
    """
    folder = Path(__file__).with_name(kind)
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def findings(kind: str, facts: object, leaving_out: Iterable[str] = ()) -> Iterator[Finding]:
    """Run all checks of a kind.

    Args:
        kind: one of :data:`KINDS`.
        facts: what the checks of that kind look at.
        leaving_out: names of checks that are not wanted.

    Raises:
        EvaluationError: the facts cannot be had, for example since a file is damaged.
    """
    for name in names(kind):
        if name in {*leaving_out}:
            continue
        module = importlib.import_module(f"{__name__}.{kind}.{name}")
        find: Callable[[object], Iterator[Finding]] = module.find
        for found in find(facts):
            yield dataclasses.replace(found, check=name)


def listed(things: Sequence[str], most: int = 3) -> str:
    """Name a few of many things.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return ", ".join(things[:most]) + more
