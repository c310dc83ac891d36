"""``evaluate``: separate songs with known stems, score the files, print the leaderboard.

In a checkout, the contest's wrapper separates, exactly as on the grading server: the songs are
arranged in the grader's layout, and AIcrowd's environment variables point to them. An installed
package has no wrapper and separates in this process, with the same result. In both cases, the stems
are written as 16-bit files and read back for scoring. OUTPUT/<track> contains dataset/,
predictions/, scores.json, scores.csv and run.json.

By default, a song may take any time, so its score does not depend on the machine's load. With
``--limit``, a slow song is separated without some members of the recipe, as on the grading server;
the table marks the missing members.
"""

from __future__ import annotations

import argparse
import concurrent.futures.process
import json
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import (
    arguments,
    board_place,
    check_target,
    contest,
    history_entry,
    note,
    report,
    write_or_print,
)
from demixing.engine import optional
from demixing.errors import ConfigError, OutputError
from demixing.evaluation import metrics
from demixing.evaluation.songs import detect_track
from demixing.recipes import reading, tracks
from demixing.recipes.recipe import Recipe
from demixing.schedule.budget import TIME_VARIABLE

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "evaluate",
        description="Separate songs as the contest's grader does, and score them as its "
        "leaderboard does. Without --data, both tracks run on the samples of the checkout.",
    )
    parser.add_argument(
        "--track",
        choices=sorted(tracks.TRACKS),
        help="music or film sound (default: both, or that of --data)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of songs with true stems, wav or flac: MUSDB18-HQ, MDX'23, CDX'23, DnR or "
        "a folder of stems per song (default: the samples)",
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help="a name from `demixing list`, or a TOML file "
        f"(default: ${reading.RECIPE_VARIABLE}, or the track's)",
    )
    parser.add_argument(
        "--songs", nargs="+", metavar="NAME", help="only these songs (default: all)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluator_outputs"),
        metavar="DIR",
        help="folder for all output",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="songs at a time")
    parser.add_argument(
        "--limit",
        action="store_true",
        help=f"keep the time limit of ${TIME_VARIABLE}, or the grader's (default: none)",
    )
    parser.add_argument("--resume", action="store_true", help="keep songs that are finished")
    arguments.add_metrics(parser, "metrics besides the official SDR", [])
    board_place.add(parser)
    history_entry.add(parser)
    arguments.add_json_file(parser)
    report.add_option(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluate one track or both.

    Raises:
        DemixError: an argument is wrong, or a song cannot be separated.
        EvaluationError: a song cannot be scored, or the output cannot be written.
    """
    wanted = runs(options)
    from demixing.cli.evaluate_track import evaluate  # imports numpy

    check_target(options.json)
    metrics.ready(options.metric)
    board_place.check(options.board, [track for track, _ in wanted])
    report.check(options.report)
    for advice in dict.fromkeys(optional.advice(chosen) for _, chosen in wanted):
        note(advice, options)
    found = {}
    try:
        for track, chosen in wanted:
            found[track] = evaluate(track, chosen, options)
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OutputError(
            "a worker died, probably because it ran out of memory; use fewer --jobs, and --resume"
        ) from error
    write_or_print(options.json, lambda: json.dumps(found, indent=2) + "\n")
    if options.report:  # last, because it is what may fail for lack of space
        report.write([options.output / track for track in found], options.report, options)
        report.tell(options.report, options)
    return 0


def runs(options: argparse.Namespace) -> list[tuple[str, Recipe]]:
    """Decide which tracks to run, and with which recipe.

    Raises:
        ConfigError: an option is out of range, or incompatible with another one or with an
            installed package.
    """
    if options.jobs < 1:
        raise ConfigError(f"expected --jobs to be at least 1, got {options.jobs}")
    if not contest.here():
        check_installed(options)
    wanted = reading.load(options.recipe) if options.recipe else None
    if wanted:
        reading.check_contest(wanted)
    name = options.track or (wanted.track.name if wanted else None)
    if name is None and options.data:
        name = detect_track(options.data)
    if wanted:
        if wanted.track.name != name:
            raise ConfigError(
                f"recipe {wanted.name!r} is for the track {wanted.track.name!r}, not {name!r}"
            )
        return [(name, wanted)]
    if name:
        return [(name, reading.chosen(tracks.by_name(name)))]
    named = reading.named()  # for one of the tracks
    return [
        (track.name, named if named and named.track == track else reading.default(track))
        for track in map(tracks.by_name, ("mdx", "cdx"))
    ]


def check_installed(options: argparse.Namespace) -> None:
    """Raise unless an installed package supports the options.

    Raises:
        ConfigError: it does not.
    """
    for wrong, what in (
        (
            options.data is None,
            "only a checkout has the samples (`make evaluate`); name your songs by --data DIR",
        ),
        (options.limit, "--limit needs a checkout, whose wrapper enforces it"),
        (options.jobs > 1, "--jobs above 1 needs a checkout"),
    ):
        if wrong:
            raise ConfigError(f"this is an installed package: {what}")
