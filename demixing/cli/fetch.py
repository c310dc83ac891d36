"""``fetch NAME...``: download weight files, verify them, and install them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import console, in_background, note, say
from demixing.errors import DemixError
from demixing.weights.catalogue import Checkpoint, entries
from demixing.weights.installer import Installer, chosen
from demixing.weights.recommended import (
    RECOMMENDED,
    RECOMMENDED_NAME,
    Recommendation,
    first_reachable,
)
from demixing.weights.verification import OK, UNPINNED, examine

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "fetch",
        description="Download weight files to models/weights/ in a checkout, to the user's "
        "cache if the package is installed, or to $DEMIX_WEIGHTS; verify them, and print their "
        "paths. An interrupted download resumes where it stopped.",
    )
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a table in models/checkpoints.toml, a prefix of several names, a pattern with *, or "
        f"{RECOMMENDED_NAME!r}: the best weights, from the first available source",
    )
    parser.add_argument(
        "--from",
        dest="source",
        default="",
        metavar="FOLDER|URL",
        help="a folder or mirror with the files, or their archives, under their published names "
        "(default: the authors' sites)",
    )
    parser.add_argument(
        "--if-possible",
        action="store_true",
        help="print a note instead of an error for a file that cannot be fetched; the status is 0",
    )


def run(options: argparse.Namespace) -> int:
    """Fetch all files, even after a failure."""
    shown = sys.stderr.isatty() and not options.quiet and not in_background()
    installer = Installer(
        source=options.source,
        progress=Shown() if shown else _silent,
        report=lambda sentence: note(sentence, options),
    )
    failed = 0
    for find in searches(options.names, options.source):
        try:
            for checkpoint in find():
                say(installer.install(checkpoint))
                if options.names == [RECOMMENDED_NAME]:
                    print(f"licence: {checkpoint.licence}", file=sys.stderr)
        except DemixError as error:
            failed += 1
            if options.if_possible:
                reason = str(error).partition("; ")[0]
                again = f"demixing fetch {' '.join(options.names)}"
                note(
                    f"not fetched (no failure here): {reason}; to try again: {again}",
                    options,
                )
            else:
                console.complain(str(error))
    if not failed:
        installer.tidy()
    return 2 if failed and not options.if_possible else 0


def searches(names: Sequence[str], source: str) -> Iterator[Callable[[], Sequence[Checkpoint]]]:
    """Yield a function per file that finds it and may fail on its own.

    Args:
        names: as given.
        source: a folder or mirror, which may have any of a system's files.

    Raises:
        CheckpointError: a name matches nothing.
    """
    known = entries()
    plain = [name for name in names if name != RECOMMENDED_NAME]
    for checkpoint in chosen(plain, known):
        yield lambda checkpoint=checkpoint: [checkpoint]  # type: ignore[misc]
    if len(plain) < len(names):
        for system in RECOMMENDED:
            yield lambda system=system: [recommended(system, known, source)]  # type: ignore[misc]


def recommended(system: Recommendation, known: dict[str, Checkpoint], source: str) -> Checkpoint:
    """Choose one of a system's files: an installed one, or one that can be fetched."""
    files = [known[name] for name in system.files]
    for file in files:
        if file.path().is_file() and examine(file.path(), file)[0] in (OK, UNPINNED):
            return file
    if source:
        folder = Path(source)
        return next((file for file in files if (folder / file.file).is_file()), files[0])
    return first_reachable(system, known)


def _silent(done_bytes: int, total_bytes: int | None) -> None:
    """Show nothing."""


class Shown:
    """Shows the progress of a download on a terminal, once per megabyte."""

    def __init__(self) -> None:
        self._shown = -1

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None:
        """Show the amount downloaded so far."""
        megabytes = done_bytes // 1_000_000
        if megabytes != self._shown:
            self._shown = megabytes
            total = f" of {total_bytes // 1_000_000}" if total_bytes else ""
            print(f"\r{megabytes}{total} MB", end="\r", file=sys.stderr, flush=True)
