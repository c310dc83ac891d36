"""``describe``: show what would be submitted: track, recipe, leaderboards, and files of weights."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from demixing import separators
from demixing.cli import arguments, contest, say_json
from demixing.engine import optional
from demixing.errors import CheckpointError, ConfigError
from demixing.machine import collector
from demixing.recipes import reading, tracks
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.weights.catalogue import Checkpoint, find
from demixing.weights.verification import MISSING, OK, UNPINNED, examine

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers

IMPORTED = "imported"
READY = "ready"


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "describe",
        description="Print the track, recipe, leaderboards and summary that aicrowd.json and the "
        "environment choose, and condition, name and path of each file of weights that the recipe "
        "uses. Files of optional members are marked.",
    )
    arguments.add_json(parser, "print one JSON object, with more detail")


def run(options: argparse.Namespace) -> int:
    """Print the description.

    Raises:
        ConfigError: this is an installed package, and the environment names no track.
    """
    if not contest.here() and not os.environ.get(tracks.TRACK_VARIABLE):
        raise ConfigError(
            "`demixing describe` reads aicrowd.json, which only a checkout of the repository has; "
            f"name the track by ${tracks.TRACK_VARIABLE}"
        )
    chosen = reading.chosen(tracks.submitted())
    with collector.resting():  # separators import torch
        weights = [{**_facts(one), **_optional(chosen, one)} for one in used(chosen)]
    if options.json:
        table = {
            "track": chosen.track.name,
            "recipe": chosen.name,
            "boards": list(chosen.boards),
            "summary": chosen.summary,
            "weights": weights,
        }
        say_json(table)
        return 0
    print("recipe", chosen.name, chosen.track.name, ",".join(chosen.boards) or "-", sep="\t")
    for one in weights:
        trained_on = ", ".join(one["trained_on"])
        condition = one["condition"] + (", optional" if one["optional"] else "")
        condition += ", needs a GPU" if one["needs_gpu"] else ""
        print("weights", one["name"], condition, one["path"], trained_on, sep="\t")
    return 0


def used(chosen: Recipe) -> list[Checkpoint]:
    """Catalogue entries that a recipe's members open, each once.

    Raises:
        CheckpointError: the catalogue has no such entry.
        ConfigError: a member's options are invalid.
    """
    names = (
        name
        for member in chosen.members
        for name in separators.required_weights(member.separator, member.options)
    )
    return [find(name) for name in dict.fromkeys(names)]


def state(member: Member) -> str:
    """Whether a member's weight files are usable: "ready", or the problem with the first bad one.

    Raises:
        CheckpointError: the catalogue has no such file.
        ConfigError: the member's options are invalid.
    """
    if packages := optional.missing_packages(member):
        return f"needs {', '.join(packages)}"
    files = map(find, separators.required_weights(member.separator, member.options))
    conditions = (_facts(file)["condition"] for file in files)
    wrong = (one for one in conditions if one not in (OK, UNPINNED, IMPORTED))
    return next(wrong, READY)


def _optional(chosen: Recipe, checkpoint: Checkpoint) -> dict[str, Any]:
    """A file's role in the recipe.

    Returns:
        ``optional``: whether all members that open the file are optional. ``absent``: whether the
        recipe is used without it. If so, also ``fetch``, the name to fetch, and ``gain_db``, the
        gain from its members, None if unknown.
    """
    users = [
        member
        for member in chosen.members
        if checkpoint.name in separators.required_weights(member.separator, member.options)
    ]
    may_lack = all(member.optional for member in users)
    result: dict[str, Any] = {"optional": may_lack, "absent": may_lack and not checkpoint.exists()}
    if result["absent"]:
        result["fetch"] = optional.fetched_as(users[0], checkpoint.name)
        result["gain_db"] = optional.gain_db(chosen, [member.name for member in users])
    return result


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """The catalogue's information about one file, and its location and condition."""
    try:
        path = checkpoint.path()
    except CheckpointError as error:
        condition, place = str(error), ""
    else:
        condition, _ = examine(path, checkpoint)
        if condition == MISSING and checkpoint.converted_path().exists():
            condition, path = IMPORTED, checkpoint.converted_path()
        place = str(path.absolute())
    return {
        "name": checkpoint.name,
        "condition": condition,
        "path": place,
        "package": checkpoint.package,
        "file": checkpoint.file,
        "sha256": checkpoint.sha256,
        "size_bytes": checkpoint.size_bytes,
        "trained_on": checkpoint.trained_on,
        "needs_gpu": checkpoint.needs_gpu,
    }
