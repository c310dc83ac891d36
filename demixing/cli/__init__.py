"""The commands of ``demixing``, one module each.

Each module has ``add(commands)``, which adds its parser, and ``run(options)``, which returns the
exit status. Results go to stdout, one path per line; errors, notes and progress go to stderr.
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
from demixing.errors import ConfigError
from demixing.printing import one_line, printable


def note(message: str, options: argparse.Namespace | None = None) -> None:
    """Print a note, useful information that is not an error, on one line.

    Args:
        message: the note; if empty, nothing is printed.
        options: of the command; with ``--quiet``, nothing is printed.
    """
    if message and not getattr(options, "quiet", False):
        print("note:", one_line(message), file=sys.stderr)


def say(path: Path, end: bytes = b"\n") -> None:
    """Print the exact bytes of a path, even if they are not valid text.

    A terminal, which would obey them, gets them escaped on one line, as from ``ls``.
    """
    sys.stdout.flush()
    if sys.stdout.isatty() and end == b"\n":
        print(printable(os.fspath(path)), flush=True)
        return
    sys.stdout.buffer.write(os.fsencode(path) + end)
    sys.stdout.buffer.flush()


def say_json(value: object, indent: int | None = 1) -> None:
    """Print a value as JSON; file names that are not valid text are escaped."""
    print(json.dumps(value, indent=indent), flush=True)


STDOUT = "-"
"""Stands for standard output as a file name."""


def check_target(target: str | None) -> None:
    """Raise if a report clearly cannot be written to a file; call it before long work.

    Args:
        target: a path, :data:`STDOUT`, or None for no report.

    Raises:
        EvaluationError: its folder does not exist, or it is not a regular file.
    """
    from demixing.evaluation.report_files import check_writable

    if target not in (None, STDOUT):
        check_writable(Path(str(target)))


def check_targets(*targets: str | None) -> None:
    """Check several targets of one command, of which only one can be printed.

    Raises:
        ConfigError: two are printed.
        EvaluationError: as for :func:`check_target`.
    """
    for target in targets:
        check_target(target)
    if targets.count(STDOUT) > 1:
        raise ConfigError("expected one of --json and --csv to be -, got both; name a file for one")


def write_or_print(target: str | None, text: Callable[[], str]) -> bool:
    """Write a report to its target.

    Args:
        target: as for :func:`check_target`.
        text: returns the text of the report.

    Returns:
        Whether it was printed to stdout.

    Raises:
        EvaluationError: the file cannot be written.
    """
    from demixing.evaluation.report_files import write_report

    if target == STDOUT:
        print(text(), end="", flush=True)
        return True
    if target is not None:
        write_report(Path(target), text())
    return False


def bar(name: str, *, quiet: bool) -> AbstractContextManager[Report]:
    """Show progress on a terminal, unless it is unwanted."""
    hidden = quiet or in_background()
    return contextlib.nullcontext(lambda event: None) if hidden else progress_bar.bar(name)


def in_background() -> bool:
    """Whether a shell runs this process in the background, where a bar would disturb."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) != os.getpgrp()
    except (AttributeError, OSError, ValueError):  # no such call, no terminal, no file
        return False
