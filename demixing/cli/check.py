"""``check``: find faults in data sets before training on them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli import check_target, console, note, write_or_print
from demixing.training.data import layouts
from demixing.training.data.checks.kinds import KINDS

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers


def add(commands: "Subparsers") -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "check",
        description="Look for faults in data sets. Each line is a finding: its kind, the song, the "
        "stem, a number, and the number in words. The exit status is 1 if there are faults. Notes, "
        "which may be intended, are only counted unless you ask for them. Several folders, or a "
        "folder with splits, are also searched for audio that is in more than one split. The "
        "analysis is stored beside the data, or in --cache, so the next check is fast.",
        epilog="Kinds: " + "; ".join(f"{kind}: {what}" for kind, what in KINDS.items()),
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="data sets")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write all results as JSON to FILE; - prints them instead of the table (default: no "
        "file)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="write a page: levels, findings, and players of what is suspected (default: no page)",
    )
    parser.add_argument(
        "--layout",
        help=f"layout of the folders: {', '.join(layouts.names())} (default: each is recognised)",
    )
    parser.add_argument(
        "--stems",
        metavar="A,B",
        help="stems that each song should have (default: those of the track that fits best)",
    )
    parser.add_argument(
        "--rate",
        type=int,
        metavar="HZ",
        help="rate that all files should have (default: the most common one)",
    )
    parser.add_argument("--notes", action="store_true", help="list notes as well")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="store the analysis in DIR (default: in the data)"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="songs at a time (default: number of processors)"
    )


def run(options: argparse.Namespace) -> int:
    """Check folders and print the table of findings; the status is 1 if there are faults.

    Raises:
        ConfigError: a folder contains no songs, or an option is wrong.
        EvaluationError: the JSON file or the page cannot be written.
    """
    check_target(options.json)
    if options.report:
        from demixing.plots import check_page

        check_page.check(options.report)
    from demixing.training.data import check

    result = check.check(
        options.folders,
        layout=options.layout,
        stems=tuple(options.stems.split(",")) if options.stems else (),
        rate_hz=options.rate,
        cache=options.cache,
        jobs=options.jobs,
    )
    printed = write_or_print(options.json, result.json_text)
    if options.report:
        check_page.write(result, options.report)
        note(f"the page: {options.report}", options)
    if not printed:
        console.show(result.lines(notes=options.notes))
    return int(bool(result.faults))
