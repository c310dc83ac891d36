"""``list``: recipes, with their stems, their state and their score.

``list --separators``: what recipes are made of. ``list --systems``: what the systems of the
catalogue output, and what their authors say of them. ``list --boards``: the contest's leaderboards.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from demixing import separators
from demixing.cli import arguments, boards, console, recipes, say_json, systems
from demixing.machine import collector
from demixing.weights import catalogue

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "list",
        description="Print a table of recipes: track, stems, measured score, and whether the "
        "recipe is ready, or what to fetch.",
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--separators", action="store_true", help="print what recipes are made of, tab-separated"
    )
    other.add_argument(
        "--systems",
        action="store_true",
        help="print systems with stems, size, whether the contest's time limit takes a GPU, the "
        "leaderboards that admit their training data, and the figures that their authors published",
    )
    other.add_argument(
        "--boards",
        action="store_true",
        help="print the contest's leaderboards, as far as public sources have them",
    )
    arguments.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list."""
    if options.boards:
        _show_boards(as_json=options.json)
    elif options.systems:
        _show_systems(as_json=options.json)
    elif options.separators:
        _show_separators(as_json=options.json)
    else:
        with collector.resting():  # separators import torch
            _show_recipes(as_json=options.json)
    return 0


def _show_recipes(*, as_json: bool) -> None:
    """Print the recipes."""
    if as_json:
        found = recipes.as_json(recipes.rows())
        say_json({"separators": _separators(), "recipes": found})
    else:
        console.show(recipes.table(recipes.rows()))


def _show_boards(*, as_json: bool) -> None:
    """Print the contest's leaderboards."""
    if as_json:
        say_json({"boards": boards.as_json()})
    else:
        console.show(boards.table())


def _show_systems(*, as_json: bool) -> None:
    """Print the systems of the catalogue."""
    found = systems.systems(catalogue.entries().values())
    if as_json:
        say_json({"systems": systems.as_json(found)})
    else:
        console.show(systems.table(found))


def _show_separators(*, as_json: bool) -> None:
    """Print the separators."""
    if as_json:
        say_json({"separators": _separators()})
        return
    for one in _separators():
        print(one["name"], one["summary"], sep="\t")


def _separators() -> list[dict[str, str]]:
    return [{"name": one, "summary": separators.summary(one)} for one in separators.names()]
