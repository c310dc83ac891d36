"""``train``: train a network on songs with known stems."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import console

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers

STOPPED = "stopped; run it again to resume from the last checkpoint"


def add(commands: "Subparsers") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "train",
        description="Train a network. A run that was stopped resumes from its last checkpoint.",
    )
    describe(parser)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        "run_file", type=Path, metavar="RUN", help="TOML file, see demixing/training/config.py"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="change an option of the run, such as optimiser.learning_rate=1e-4; may be repeated "
        "(default: no change)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the run (default: training_outputs/RUN)",
    )


def run(options: argparse.Namespace) -> int:
    """Train, and print each validation result.

    Raises:
        ConfigError: an option is wrong, or there is no data.
        OutputError: the run cannot be written.
    """
    from demixing.training import config

    logging.getLogger("demixing").setLevel(logging.INFO)
    described = config.load(options.run_file, options.settings)
    from demixing.training import distributed, loop  # after checking the file: torch is slow

    folder = options.out or Path("training_outputs", options.run_file.stem)
    with distributed.joined() as processes:
        lines = loop.train(described, folder, processes)
        console.show(line for line in lines if processes.first)
    return 0
