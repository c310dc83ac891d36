"""``fetch NAME...``: download files of weights, verify them, and put them in place."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from demixing.cli import complain, note, say
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


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    command = commands.add_parser(
        "fetch",
        help="download files of weights, verify them, and put them in place",
        description="Download files of weights to models/weights/ (or $DEMIX_WEIGHTS), verify "
        "them, and print their paths. What was cut off goes on where it ended.",
    )
    command.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a table of models/checkpoints.toml, how several begin, a pattern with *, or "
        f"{RECOMMENDED_NAME!r}: the best there are, from wherever they can be had",
    )
    command.add_argument(
        "--from",
        dest="source",
        default="",
        metavar="FOLDER|URL",
        help="a folder or a mirror that has the files, or their archives, under published names",
    )
    command.add_argument(
        "--if-possible",
        action="store_true",
        help="do without a file that cannot be had: a note instead of an error, and status 0",
    )


def run(options: argparse.Namespace) -> int:
    """Fetch all files, going on after one that fails."""
    installer = Installer(
        source=options.source, progress=Shown() if sys.stderr.isatty() else _silent
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
                command = f"python -m my_submission fetch {' '.join(options.names)}"
                note(f"not fetched, which is no fault: {reason}; to try again: {command}")
            else:
                complain(str(error))
    if not failed:
        installer.tidy()
    return 2 if failed and not options.if_possible else 0


def searches(names: Sequence[str], source: str) -> Iterator[Callable[[], Sequence[Checkpoint]]]:
    """Yield what finds the files to fetch, one for each that may fail by itself.

    Args:
        names: as given.
        source: a folder or a mirror, which then has any of the files of a system.

    Raises:
        CheckpointError: a name means nothing.
    """
    known = entries()
    plain = [name for name in names if name != RECOMMENDED_NAME]
    for checkpoint in chosen(plain, known):
        yield lambda checkpoint=checkpoint: [checkpoint]  # type: ignore[misc]
    if len(plain) < len(names):
        for system in RECOMMENDED:
            yield lambda system=system: [recommended(system, known, source)]  # type: ignore[misc]


def recommended(system: Recommendation, known: dict[str, Checkpoint], source: str) -> Checkpoint:
    """Choose one of the files of a system: what is in place, or else what can be had."""
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
    """Shows on a terminal how much has come, once for each megabyte."""

    def __init__(self) -> None:
        self._shown = -1

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None:
        """Show it."""
        megabytes = done_bytes // 1_000_000
        if megabytes != self._shown:
            self._shown = megabytes
            total = f" of {total_bytes // 1_000_000}" if total_bytes else ""
            print(f"\r{megabytes}{total} MB", end="\r", file=sys.stderr, flush=True)
