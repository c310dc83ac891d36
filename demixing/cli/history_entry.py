"""Adds an evaluation to the ledger of its output folder."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from demixing.cli import describe, note
from demixing.engine import optional
from demixing.errors import DemixError
from demixing.evaluation import ledger
from demixing.machine import description

if TYPE_CHECKING:
    from demixing.evaluation.run import Run
    from demixing.recipes.recipe import Recipe


def add(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-history``."""
    parser.add_argument(
        "--no-history",
        action="store_true",
        help=f"do not add this evaluation to {ledger.FILE} in --output, which `demixing history` "
        "shows",
    )


def record(
    run: Run,
    chosen: Recipe,
    options: argparse.Namespace,
    scores: Mapping[str, Any],
    spent_s: Mapping[str, float],
) -> None:
    """Add an evaluation to ``history.jsonl`` in the output folder.

    The evaluation is complete by then, so a failure is only a note.

    Args:
        run: settings of the evaluation.
        chosen: the recipe, as it was read.
        options: of the command.
        scores: contents of scores.json.
        spent_s: seconds that each song took that was separated now.
    """
    if options.no_history:
        return
    try:
        ledger.append(options.output, entry(run, chosen, options, scores, spent_s))
    except DemixError as error:
        note(str(error), options)


def entry(
    run: Run,
    chosen: Recipe,
    options: argparse.Namespace,
    scores: Mapping[str, Any],
    spent_s: Mapping[str, float],
) -> ledger.Entry:
    """Collect everything about an evaluation; arguments as for :func:`record`."""
    from demixing.cli.main import version  # it imports the commands

    absent = optional.absent(chosen)
    used = optional.resolved(chosen, absent)
    names = [song["name"] for song in scores["songs"]]
    return ledger.Entry(
        time=now(),
        track=run.track,
        recipe={"name": run.recipe, "sha256": run.recipe_sha256, "without": list(absent)},
        weights=weights(used),
        data={
            "path": run.data,
            "songs": names,
            "count": len(names),
            "digest": ledger.digest(scores),
        },
        options={"limit": run.limit, "jobs": options.jobs, "resume": options.resume},
        scores=scores,
        machine=description.machine(options.device),
        versions=description.versions(version()),
        seconds=round(sum(spent_s.values()), 3),
        separated=len(spent_s),
    )


def now() -> str:
    """The time in UTC, to the second."""
    time = datetime.datetime.now(datetime.UTC).replace(microsecond=0, tzinfo=None)
    return f"{time.isoformat()}Z"


def weights(used: Recipe) -> tuple[Mapping[str, Any], ...]:
    """The files of weights that a recipe opens, with the hashes of the catalogue.

    The files were verified against these when they were opened, so they are not read again. A hash
    is None if the authors published none, and shorter if they published only its beginning.

    Args:
        used: without the members that are absent.
    """
    return tuple(
        {
            "name": one.name,
            "file": one.file,
            "sha256": one.sha256 or None,
            "size_bytes": one.size_bytes,
        }
        for one in describe.used(used)
    )
