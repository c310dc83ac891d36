"""``fit``: fit the ensemble weights, mixture consistency and gates of a recipe."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import console
from demixing.recipes import reading

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: "Subparsers") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "fit",
        description="Fit what a recipe makes of its members' estimates, on songs whose stems are "
        "known, and print what it gains on songs that were left out.",
    )
    parser.add_argument("recipe", help="name of a recipe, or a TOML file")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of songs"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="store the measurements of songs in DIR (default: do not store them)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write the recipe with its fitted tables (default: only print the report)",
    )
    parser.add_argument(
        "--by",
        choices=("song", "artist"),
        default="song",
        help="song: leave out one song at a time, and weight folders equally; artist: leave out "
        "all songs of an artist together, and weight artists equally (default: %(default)s)",
    )
    parser.add_argument(
        "--trained-on",
        nargs="+",
        action="extend",
        default=[],
        metavar="MEMBER=PATTERN",
        help="songs that a member was trained on: it is not scored there (default: none)",
    )
    parser.add_argument(
        "--ridge",
        nargs="+",
        default=[],
        metavar="[STEM=]NUMBER",
        help="strength of the regularisation towards the mean, for all stems or for one "
        "(default: the best of a grid)",
    )
    parser.add_argument(
        "--silent",
        type=float,
        default=0.02,
        metavar="PART",
        help="fraction of songs in which a stem is silent (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=2,
        metavar="N",
        help="number of runs of members whose input is the mixture minus fitted stems "
        "(default: %(default)s)",
    )
    parser.add_argument("--non-negative", action="store_true", help="do not allow negative weights")
    parser.add_argument(
        "--no-mixture", action="store_true", help="give the mixture itself no weight"
    )


def run(options: argparse.Namespace) -> int:
    """Fit, write the recipe if requested, and print the report.

    Raises:
        ConfigError: the recipe or an option is wrong.
        EvaluationError: a song cannot be read, or the recipe's file is no place for it.
        OutputError: the recipe or the cache cannot be written.
    """
    reading.check_contest(reading.load(options.recipe))
    from demixing.training.fitting import fit

    console.show(fit.fit(options))
    return 0
