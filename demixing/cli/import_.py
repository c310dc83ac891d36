"""``import NAME FILE``: read an official file once, and keep its numbers in a form of our own."""

import argparse
from pathlib import Path

from demixing.cli import say
from demixing.weights.catalogue import find


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    command = commands.add_parser(
        "import",
        help="convert an official file of weights once to safetensors",
        description="Verify and read an official file of weights, write its numbers and where "
        "they come from to models/weights/NAME.safetensors, and print the path.",
    )
    command.add_argument("name", metavar="NAME", help="a table of models/checkpoints.toml")
    command.add_argument("file", metavar="FILE", type=Path, help="the official file")


def run(options: argparse.Namespace) -> int:
    """Convert the file."""
    checkpoint = find(options.name)
    from demixing.weights import converted  # imports torch

    converted.convert(checkpoint, options.file, checkpoint.converted_path())
    say(checkpoint.converted_path())
    return 0
