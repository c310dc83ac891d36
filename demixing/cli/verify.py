"""``verify [NAME...]``: check whether weight files match the catalogue."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from demixing.cli import arguments, console, say_json
from demixing.cli.describe import IMPORTED
from demixing.errors import CheckpointError
from demixing.weights.catalogue import Checkpoint, entries
from demixing.weights.installer import chosen
from demixing.weights.verification import MISSING, OK, UNPINNED, examine

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "verify",
        description="Print status, name and path of files of weights, tab-separated. The "
        "status is 2 if a file is not the one in the catalogue; missing files count only if they "
        "are named.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="as for `demixing fetch` (default: all)"
    )
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print one line per file."""
    known = entries()
    bad = False
    found = []
    for checkpoint in chosen(options.names, known) if options.names else known.values():
        condition, explanation, path = _examine(checkpoint)
        found.append({"name": checkpoint.name, "condition": condition, "path": path})
        if not options.json:
            print(condition, checkpoint.name, path, sep="\t")
        wrong = condition not in (OK, UNPINNED, IMPORTED)
        if wrong and (options.names or condition != MISSING):
            bad = True
            console.complain(explanation)
    if options.json:
        say_json(found)
    return 2 if bad else 0


def _examine(checkpoint: Checkpoint) -> tuple[str, str, str]:
    """Return a file's condition, a sentence about it, and its path."""
    try:
        path = checkpoint.path()
    except CheckpointError as error:
        return MISSING, str(error), ""
    condition, explanation = examine(path, checkpoint)
    converted_path = checkpoint.converted_path()
    if condition == MISSING and converted_path.exists():
        from demixing.weights import converted  # imports torch

        try:
            converted.read(checkpoint)
        except CheckpointError as error:
            return "damaged import", str(error), str(converted_path)
        return IMPORTED, "", str(converted_path)
    return condition, explanation, str(path)
