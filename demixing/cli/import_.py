"""``import NAME FILE``: convert an official weight file to safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import say
from demixing.weights.catalogue import find

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "import",
        description="Verify and read an official weight file, write its weights and their origin "
        "to models/weights/NAME.safetensors (or to $DEMIX_WEIGHTS), and print the path.",
    )
    parser.add_argument("name", metavar="NAME", help="a table in models/checkpoints.toml")
    parser.add_argument("file", metavar="FILE", type=Path, help="the official file")


def run(options: argparse.Namespace) -> int:
    """Convert the file."""
    checkpoint = find(options.name)
    from demixing.weights import converted  # imports torch

    converted.convert(checkpoint, options.file, checkpoint.converted_path())
    say(checkpoint.converted_path())
    return 0
