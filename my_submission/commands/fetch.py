"""``fetch NAME...``: download files of weights, verify them, and put them in place."""

import argparse
import sys

from my_submission.commands import complain, say
from my_submission.errors import DemixError
from my_submission.weights.placing import Placer, chosen
from my_submission.weights.register import register


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
        help="a table of models/checkpoints.toml, how several begin, or a pattern with *",
    )
    command.add_argument(
        "--from",
        dest="source",
        default="",
        metavar="FOLDER|URL",
        help="a folder or a mirror that has the files, or their archives, under published names",
    )


def run(options: argparse.Namespace) -> int:
    """Fetch all files, going on after one that fails."""
    placer = Placer(source=options.source, progress=Shown() if sys.stderr.isatty() else _silent)
    failed = 0
    for checkpoint in chosen(options.names, register()):
        try:
            say(placer.place(checkpoint))
        except DemixError as error:
            failed += 1
            complain(str(error))
    if not failed:
        placer.tidy()
    return 2 if failed else 0


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
