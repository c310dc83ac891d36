"""``list``: separators, recipes, and whether the optional members of recipes are ready.

``list --systems``: what the systems of the catalogue output, and what their authors say of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from demixing import separators
from demixing.cli import arguments, console, describe, say_json, systems
from demixing.recipes import reading
from demixing.weights import catalogue

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "list",
        description="List separators, then recipes with track, leaderboards and optional "
        "members, one a line, tab-separated. With --systems, print a table of the systems whose "
        "weights are in the catalogue.",
    )
    parser.add_argument(
        "--systems",
        action="store_true",
        help="print systems with stems, size, whether the contest's time limit takes a GPU, the "
        "leaderboards that admit their training data, and the figures that their authors published",
    )
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list."""
    if options.systems:
        return _run_systems(options)
    found = list(recipes())
    if options.json:
        every = [{"name": one, "summary": separators.summary(one)} for one in separators.names()]
        say_json({"separators": every, "recipes": found})
        return 0
    for name in separators.names():
        print("separator", name, separators.summary(name), sep="\t")
    for one in found:
        boards = ",".join(one["boards"]) or "-"
        print("recipe", one["name"], one["track"], boards, one["summary"], sep="\t")
        for member, state in one["optional"].items():
            print("optional", one["name"], member, state, sep="\t")
    return 0


def _run_systems(options: argparse.Namespace) -> int:
    """Print the systems of the catalogue."""
    found = systems.systems(catalogue.entries().values())
    if options.json:
        say_json({"systems": systems.as_json(found)})
    else:
        console.show(systems.table(found))
    return 0


def recipes() -> Iterator[dict[str, Any]]:
    """Yield the lines about each recipe."""
    for name in reading.names():
        known = reading.load(name)
        yield {
            "name": name,
            "track": known.track.name,
            "boards": list(known.boards),
            "summary": known.summary,
            "optional": {
                member.name: describe.state(member) for member in known.members if member.optional
            },
        }
