"""``describe``: say what would be submitted: track, recipe, boards, and each file of weights."""

import argparse
import json
from typing import Any

from my_submission import recipe, separators, tracks
from my_submission.errors import CheckpointError
from my_submission.recipe import Recipe
from my_submission.weights.register import Checkpoint, find
from my_submission.weights.verification import MISSING, examine


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command."""
    command = commands.add_parser(
        "describe",
        help="say what would be submitted: track, recipe, boards, and each file of weights",
        description="Print track, recipe, boards and summary of what aicrowd.json and the "
        "environment submit, and condition, name and path of each file of weights that it uses.",
    )
    command.add_argument("--json", action="store_true", help="as one JSON object, with more detail")


def run(options: argparse.Namespace) -> int:
    """Print it."""
    chosen = recipe.chosen(tracks.submitted())
    weights = [_facts(checkpoint) for checkpoint in used(chosen)]
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
        print("weights", one["name"], one["condition"], one["path"], trained_on, sep="\t")
    return 0


def used(chosen: Recipe) -> list[Checkpoint]:
    """Entries of the register that a recipe's members open, each once.

    Raises:
        CheckpointError: the register has no such entry.
        ConfigError: a member refuses its options.
    """
    names = (
        name
        for member in chosen.members
        for name in separators.uses(member.separator, member.options)
    )
    return [find(name) for name in dict.fromkeys(names)]


def _facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """What is known of one file, wherever it lies."""
    try:
        path = checkpoint.path()
    except CheckpointError as error:
        condition, place = str(error), ""
    else:
        condition, _ = examine(path, checkpoint)
        if condition == MISSING and checkpoint.imported_path().exists():
            condition, path = "imported", checkpoint.imported_path()
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
