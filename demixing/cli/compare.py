"""``compare A B...``: what can be said of the difference of systems on the same songs."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import arguments, check_targets, write_or_print
from demixing.errors import ConfigError
from demixing.evaluation.songs import STEMS

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "compare",
        description="Compare systems on the same songs. Each SYSTEM is the folder of a run of "
        "`demixing evaluate` or its scores.json; a folder of separated songs (with --references); "
        "a recipe, which is run here (with --data), without a time limit, gates and files of 16 "
        "bits; or an entry of the history, such as @3 or DIR@3. All others are compared with the "
        "first: mean difference, 95 percent interval, and the probability of such a difference by "
        "chance. Silent and nearly silent stems only count in the official mean. Do not choose "
        "between recipes by a test set.",
    )
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="SYSTEM",
        help="at least two; the name of a recipe comes before a folder of that name: write ./NAME",
    )
    _add_sources(parser)
    parser.add_argument(
        "--songs",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="only songs whose names match one of these (default: all)",
    )
    parser.add_argument(
        "--track", choices=list(STEMS), help="music or film sound (default: what is found)"
    )
    parser.add_argument("--metric", default="sdr", metavar="NAME", help="which scores to compare")
    parser.add_argument(
        "--per-artist",
        action="store_true",
        help="each artist counts once, in means, intervals and tests (default: each song)",
    )
    arguments.add_json_file(parser)
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write the differences as CSV to FILE; - prints them instead of the table (default: "
        "no file)",
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the options that only some kinds of systems need."""
    parser.add_argument(
        "--references",
        type=Path,
        metavar="DIR",
        help="folder with a folder per song that contains the true stems; for separated songs "
        "(default: none)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        action="extend",
        metavar="DIR",
        help="folders with a folder per song that contains the true stems; for recipes (default: "
        "none)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=math.inf,
        metavar="S",
        help="run recipes on the beginning of each song only (default: all of it)",
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="run recipes without test-time augmentation: each member in its first setting",
    )


def run(options: argparse.Namespace) -> int:
    """Compare, write the requested files, and print the table."""
    check_targets(options.json, options.csv)
    if len(options.systems) < 2:
        raise ConfigError("expected two systems or more to compare, got one; name another")
    from demixing.cli import compare_sources  # imports numpy
    from demixing.evaluation.comparison import differences, export, pairing, table

    systems = compare_sources.systems(options)
    result = differences.compare(pairing.pair(systems), per_artist=options.per_artist)
    printed = [
        write_or_print(options.json, lambda: export.json_text(result)),
        write_or_print(options.csv, lambda: export.csv_text(result)),
    ]
    if not any(printed):
        print(table.text(result, compare_sources.notes(options)), end="")
    return 0
