"""``export``: write a run's trained weights for use in recipes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import note, say
from demixing.machine.installation import MODELS

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: "Subparsers") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "export",
        description="Export a run's trained weights so that recipes can use them: write "
        "NAME.safetensors, NAME.toml with the entry for the catalogue of weights, and NAME.md, the "
        "model card. The weights of several runs are averaged.",
    )
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="RUN_FOLDER",
        help="folder of a run, written by train; the weights of several runs are averaged",
    )
    parser.add_argument("--name", required=True, help="name of the weights in recipes")
    parser.add_argument(
        "--to",
        type=Path,
        default=MODELS / "weights",
        metavar="DIR",
        help="folder of the three files (default: models/weights)",
    )
    parser.add_argument(
        "--trained-on",
        action="append",
        default=[],
        metavar="TEXT",
        help="training data, for the rules of leaderboards; may be repeated "
        "(default: names of the run's folders, and what the weights that it started from were "
        "trained on)",
    )
    parser.add_argument(
        "--licence",
        default="",
        metavar="TEXT",
        help="licence of the weights (default: MIT, and that of the weights that the run started "
        "from)",
    )
    parser.add_argument(
        "--bits",
        type=int,
        choices=(16, 8),
        default=16,
        help="bits per weight on disk; with 8, the scores are those of the rounded weights "
        "(default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the three files and print their paths.

    Raises:
        ConfigError: there is no such run, the name is invalid or that of other weights, the runs'
            networks differ, or the training data is not known.
        CheckpointError: the catalogue of weights cannot be read.
        OutputError: a file cannot be written.
    """
    from demixing.training import export

    paths = export.export(
        options.folders,
        options.name,
        options.to,
        trained_on=options.trained_on,
        licence=options.licence,
        bits=options.bits,
    )
    for path in paths:
        say(path)
    if not export.validated(options.folders):
        note("these weights have no scores, because the training had no songs for validation")
    return 0
