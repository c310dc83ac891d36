"""``score REFERENCES ESTIMATES``: the official score of existing stems."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import arguments, board_place, check_targets, write_or_print
from demixing.evaluation import metrics
from demixing.evaluation.songs import STEMS, detect_track

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers
    from demixing.evaluation.metrics import Metric
    from demixing.evaluation.summary import Summary


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    describe(
        commands.add_parser(
            "score", description="Score separated songs as AIcrowd's leaderboard does."
        )
    )


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to a parser."""
    parser.add_argument(
        "references", type=Path, help="folder with a folder per song that contains the true stems"
    )
    parser.add_argument(
        "estimates", type=Path, help="folder with the same songs and their separated stems"
    )
    parser.add_argument(
        "--track",
        choices=list(STEMS),
        help="music or film sound (default: from the references' file names)",
    )
    parser.add_argument(
        "--songs", nargs="+", metavar="NAME", help="only score these songs (default: all)"
    )
    board_place.add(parser)
    arguments.add_json_file(parser)
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write the table as CSV to FILE; - prints it instead of the table (default: no file)",
    )
    arguments.add_metrics(parser, "how to score", ["sdr"])


def run(options: argparse.Namespace) -> int:
    """Score, write the requested files, and print the scores."""
    check_targets(options.json, options.csv)
    chosen = metrics.ready(options.metric)
    if options.board:
        board_place.check(options.board, [options.track or detect_track(options.references)])
    summary = scored(options, chosen)
    from demixing.evaluation import report, report_json

    official = metrics.load(metrics.OFFICIAL)
    found = report_json.contents(summary, official, further=chosen)
    place = board_place.described(options.board, found)
    printed = [
        write_or_print(options.json, lambda: report_json.json_text(found)),
        write_or_print(options.csv, lambda: report.csv_report(summary, chosen)),
    ]
    if not any(printed):
        tables = [report.text_table(summary, metric) for metric in chosen]
        print("\n".join([*tables, *([place] if place else [])]), end="")
    return 0


def scored(options: argparse.Namespace, chosen: Sequence[Metric]) -> Summary:
    """Score the songs chosen by the options of :func:`describe`.

    Args:
        options: of the command.
        chosen: metrics.

    Raises:
        EvaluationError: something cannot be scored.
    """
    # Late import: --help must not wait for NumPy.
    from demixing.evaluation.scoring import score_folder
    from demixing.evaluation.summary import summarise

    track = options.track or detect_track(options.references)
    quiet = getattr(options, "quiet", False) or not sys.stderr.isatty()
    scores = score_folder(
        options.references,
        options.estimates,
        track,
        options.songs,
        None if quiet else _show_progress,
        chosen,
    )
    return summarise(scores, track)


def _show_progress(done: int, total: int, name: str) -> None:
    """Show on a terminal how many songs have been scored."""
    print(f"scored {done} of {total}: {name!a}", file=sys.stderr)
