"""``verify [NAME...]``: say for each file of weights whether it is the registered one."""

import argparse

from demixing.cli import complain
from demixing.errors import CheckpointError
from demixing.weights.catalogue import Checkpoint, entries
from demixing.weights.installer import chosen
from demixing.weights.verification import MISSING, OK, UNPINNED, examine

IMPORTED = "imported"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    command = commands.add_parser(
        "verify",
        help="say for each file of weights whether it is the registered one",
        description="Print condition, name and path of files of weights, tab-separated. The "
        "status is 2 if one is not as it should be; without names, missing ones do not count.",
    )
    command.add_argument(
        "names", nargs="*", metavar="NAME", help="as for fetch; all of them if left out"
    )


def run(options: argparse.Namespace) -> int:
    """Print a line for each file."""
    known = entries()
    bad = False
    for checkpoint in chosen(options.names, known) if options.names else known.values():
        condition, explanation, place = _examine(checkpoint)
        print(condition, checkpoint.name, place, sep="\t")
        wrong = condition not in (OK, UNPINNED, IMPORTED)
        if wrong and (options.names or condition != MISSING):
            bad = True
            complain(explanation)
    return 2 if bad else 0


def _examine(checkpoint: Checkpoint) -> tuple[str, str, str]:
    """Return a file's condition, a sentence about it, and where it lies."""
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
