"""``corrupt``: copy a corpus and corrupt some of its songs, to test robust losses."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import console

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: "Subparsers") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "corrupt",
        description="Copy a data set and corrupt the labels, or add bleeding, in some songs. Songs "
        "that stay as they are become links. OUT/corruption.json lists what was changed.",
    )
    parser.add_argument("corpus", type=Path, metavar="DIR", help="a data set, in any known layout")
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that does not exist yet")
    parser.add_argument(
        "--kind",
        choices=("labelnoise", "bleeding"),
        required=True,
        help="labelnoise: two stems of a song swap names; bleeding: stems leak into each other",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.2,
        help="fraction of the songs to corrupt, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of all random choices (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Copy and corrupt; print the changes to each corrupted song.

    Raises:
        ConfigError: there are no stems, a number is out of range, or OUT exists.
        OutputError: the copy cannot be written.
    """
    from demixing.training.data import corrupt

    console.show(
        corrupt.corrupt(
            options.corpus, options.out, options.kind, share=options.share, seed=options.seed
        )
    )
    return 0
