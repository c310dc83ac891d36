"""``import NAME FILE``: convert a weight file to safetensors, together with its config."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import say
from demixing.errors import ConfigError
from demixing.weights.catalogue import check_home, entries, find, weights_folder

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "import",
        description="Verify and read a weight file, write its weights and their origin to "
        "NAME.safetensors in the folder that `fetch` uses, and print the path. With --config, FILE "
        "is your own: the new file keeps the config, too, for `separate --checkpoint`.",
    )
    parser.add_argument(
        "name", metavar="NAME", help="a table in models/checkpoints.toml; with --config, any name"
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the file of weights")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="YAML",
        help="the config of your own network, as MSST writes it (default: FILE is an official one)",
    )


def run(options: argparse.Namespace) -> int:
    """Convert the file."""
    check_home()
    if options.config:
        say(own(options.name, options.file, options.config))
        return 0
    checkpoint = find(options.name)
    from demixing.weights import converted  # imports torch

    converted.convert(checkpoint, options.file, checkpoint.converted_path())
    say(checkpoint.converted_path())
    return 0


def own(name: str, file: Path, config: Path) -> Path:
    """Convert a user's own file, which must fit its config.

    Raises:
        ConfigError: the config is wrong, or the name.
        CheckpointError: the file is damaged, or is of another network.
    """
    if not name.replace("_", "").isalnum() or name in entries():
        raise ConfigError(
            f"expected a new name of letters, digits and _ for your own weights, got {name!r}"
        )
    from demixing.separators.msst import plugin
    from demixing.weights import converted, own_file
    from demixing.weights.readers import Contents

    path = str(file.absolute())
    source = plugin.find(path, str(config))
    plugin.build(source.system, "", path, str(config))  # raises unless they fit
    target = weights_folder() / f"{name}.safetensors"
    with own_file.opened(file) as opened:
        contents = Contents(
            state=own_file.read_open(opened).state,
            network=source.system,
            arguments=dict(source.config.sections),
        )
        converted.write(contents, name, opened, target, {"config": config.name})
    return target
