"""The commands of ``demixing``, one module each.

Each has ``add(commands)``, which adds its parser, and ``run(options)``, which returns the exit
status. Results go to stdout, paths one a line; errors, notes and progress go to stderr.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from demixing.engine import progress_bar
from demixing.engine.progress import Report


def note(message: str, options: argparse.Namespace | None = None) -> None:
    """Print on one line what is useful to know but no error.

    Args:
        message: nothing is printed if it is empty.
        options: nothing is printed with ``--quiet``.
    """
    if message and not getattr(options, "quiet", False):
        print("note:", message.replace("\n", "\\n"), file=sys.stderr)


def say(path: Path) -> None:
    """Print a path byte by byte as the file system has it, even if it is not valid text."""
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(path) + b"\n")
    sys.stdout.buffer.flush()


def say_json(value: object, indent: int | None = 1) -> None:
    """Print a value as JSON; names of files that are not valid text become escapes."""
    print(json.dumps(value, indent=indent), flush=True)


STDOUT = "-"
"""In place of the name of a file."""


def check_target(target: str | None) -> None:
    """Raise unless a report can probably be written to a file; ask before long work.

    Args:
        target: a path, :data:`STDOUT`, or None for no report.

    Raises:
        EvaluationError: its folder does not exist, or it is not a regular file.
    """
    from demixing.evaluation.report import check_writable

    if target not in (None, STDOUT):
        check_writable(Path(str(target)))


def write_or_print(target: str | None, text: Callable[[], str]) -> bool:
    """Write a report to where it was asked for.

    Args:
        target: as for :func:`check_target`.
        text: returns the report.

    Returns:
        Whether it was printed on stdout.

    Raises:
        EvaluationError: the file cannot be written.
    """
    from demixing.evaluation.report import write_report

    if target == STDOUT:
        print(text(), end="", flush=True)
        return True
    if target is not None:
        write_report(Path(target), text())
    return False


def bar(name: str, *, quiet: bool) -> AbstractContextManager[Report]:
    """Show progress on a terminal, unless it is unwanted there."""
    hidden = quiet or in_background()
    return contextlib.nullcontext(lambda event: None) if hidden else progress_bar.bar(name)


def in_background() -> bool:
    """Whether a shell runs this process in the background, where a bar would disturb others."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) != os.getpgrp()
    except (AttributeError, OSError, ValueError):  # no such call, no terminal, no file
        return False
