"""Checks for faults that the grader hides or penalises, before anything is pushed.

A check is a module in one of three folders, and its name is the key; a new check is a new file.
Each has a function ``find`` that yields findings. Its argument depends on the folder:

    output/       :class:`evaluator.preflight.graded.Graded`: the separated stems
    records/      the same: times, memory and errors
    repository/   :class:`evaluator.preflight.checkout.Checkout`: the files to push
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
"""Good to know; a submission with it may be fine."""

OUTPUT, RECORDS, REPOSITORY = "output", "records", "repository"
KINDS = (OUTPUT, RECORDS, REPOSITORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of a check.

    Attributes:
        severity: :data:`FAULT` or :data:`NOTE`.
        what: what was found, with names and figures.
        why: why it matters.
        how: how to fix it.
        check: name of the module that found it; set by :func:`findings`.
    """

    severity: str
    what: str
    why: str
    how: str
    check: str = ""

    def __str__(self) -> str:
        text = f"{self.severity} [{self.check}] {self.what}; {self.why}; {self.how}"
        # Names of files, and messages of a submission, may contain line breaks.
        return "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )


def fault(what: str, why: str, how: str) -> Finding:
    """A finding that costs the score or the submission."""
    return Finding(severity=FAULT, what=what, why=why, how=how)


def note(what: str, why: str, how: str) -> Finding:
    """A finding that is good to know."""
    return Finding(severity=NOTE, what=what, why=why, how=how)


def names(kind: str) -> list[str]:
    """Names of all checks of a kind, without importing them.

    >>> "clipped" in names(OUTPUT)
    True
    """
    folder = Path(__file__).with_name(kind)
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def findings(kind: str, facts: object, leaving_out: Iterable[str] = ()) -> Iterator[Finding]:
    """Run all checks of a kind.

    Args:
        kind: one of :data:`KINDS`.
        facts: argument of these checks.
        leaving_out: names of checks to skip.

    Yields:
        Findings, in the order of the checks' names.

    Raises:
        EvaluationError: a check cannot be run, for example because a file is damaged.
    """
    for name in names(kind):
        if name in {*leaving_out}:
            continue
        module = importlib.import_module(f"{__name__}.{kind}.{name}")
        find: Callable[[object], Iterator[Finding]] = module.find
        for found in find(facts):
            yield dataclasses.replace(found, check=name)


def listed(things: Sequence[str], most: int = 3) -> str:
    """The first few of some names, and the number of the others.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return ", ".join(things[:most]) + more
