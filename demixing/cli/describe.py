"""``describe``: say what would be submitted: track, recipe, boards, and each file of weights."""

import argparse
import json
from typing import Any

from demixing import separators, tracks
from demixing.errors import CheckpointError
from demixing.recipes import optional, reading
from demixing.recipes.recipe import Member, Recipe
from demixing.weights.catalogue import Checkpoint, find
from demixing.weights.verification import MISSING, OK, UNPINNED, examine

IMPORTED = "imported"
READY = "ready"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    command = commands.add_parser(
        "describe",
        help="say what would be submitted: track, recipe, boards, and each file of weights",
        description="Print track, recipe, boards and summary of what aicrowd.json and the "
        "environment submit, and condition, name and path of each file of weights that it uses. "
        "Files of members that are optional are marked as such.",
    )
    command.add_argument("--json", action="store_true", help="as one JSON object, with more detail")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    chosen = reading.chosen(tracks.submitted())
    weights = [
        {**_facts(checkpoint), **_optional(chosen, checkpoint)} for checkpoint in used(chosen)
    ]
    if options.json:
        table = {
            "track": chosen.track.name,
            "recipe": chosen.name,
            "boards": list(chosen.boards),
            "summary": chosen.summary,
            "weights": weights,
        }
        print(json.dumps(table, indent=1))
        return 0
    print("recipe", chosen.name, chosen.track.name, ",".join(chosen.boards) or "-", sep="\t")
    for one in weights:
        trained_on = ", ".join(one["trained_on"])
        condition = one["condition"] + (", optional" if one["optional"] else "")
        print("weights", one["name"], condition, one["path"], trained_on, sep="\t")
    return 0


def used(chosen: Recipe) -> list[Checkpoint]:
    """Entries of the catalogue that a recipe's members open, each once.

    Raises:
        CheckpointError: the catalogue has no such entry.
        ConfigError: a member refuses its options.
    """
    names = (
        name
        for member in chosen.members
        for name in separators.required_weights(member.separator, member.options)
    )
    return [find(name) for name in dict.fromkeys(names)]


def state(member: Member) -> str:
    """Whether a member's files of weights can be used: "ready", or what is wrong with the first.

    Raises:
        CheckpointError: the catalogue has no such file.
        ConfigError: the member refuses its options.
    """
    files = map(find, separators.required_weights(member.separator, member.options))
    conditions = (_facts(file)["condition"] for file in files)
    wrong = (one for one in conditions if one not in (OK, UNPINNED, IMPORTED))
    return next(wrong, READY)


def _optional(chosen: Recipe, checkpoint: Checkpoint) -> dict[str, Any]:
    """What the recipe has to say of one of its files.

    Returns:
        ``optional``, whether all members that open it are; ``absent``, whether the recipe is used
        without it for that reason; if it is, ``fetch``, the name under which it is fetched, and
        ``gain_db``, what its members would add, or None if that is not known.
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
    """What is known of one file, wherever it lies."""
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
    }
