"""``python -m evaluator compare``: several systems on the same songs, with confidence intervals."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demixing.cli.arguments import Parser
from demixing.errors import EvaluationError

if TYPE_CHECKING:  # --help must not wait for numpy
    from demixing.evaluation.comparison import Difference
    from demixing.evaluation.summary import Summary

PROGRAM = "python -m evaluator compare"


def parser(prog: str = PROGRAM) -> Parser:
    """Build the parser of the command line for a program name."""
    result = Parser(
        prog=prog,
        description="Compare the separated songs of several systems. Below the means of all "
        "systems are the differences from the first one: the mean over songs, and where it lies "
        "with 95 percent confidence. An interval that contains 0 may be chance.",
    )
    result.add_argument("references", type=Path, help="folder of songs with the true stems")
    result.add_argument(
        "estimates",
        type=Path,
        nargs="+",
        metavar="ESTIMATES",
        help="folders of separated songs, at least two; the first is the one to compare with",
    )
    result.add_argument(
        "--track",
        choices=["mdx", "cdx"],
        help="music or film sound (default: from the references' file names)",
    )
    result.add_argument(
        "--songs", nargs="+", metavar="NAME", help="only these songs (default: all)"
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    return result


def main(arguments: Sequence[str], *, prog: str = PROGRAM) -> int:
    """Run the command line and return the exit status.

    Raises:
        EvaluationError: something cannot be scored, or the file cannot be written.
    """
    options = parser(prog).parse_args(arguments)
    summaries = scored(options)
    from demixing.evaluation import comparison
    from demixing.evaluation.report import write_report

    if options.json is not None:
        text = json.dumps(comparison.as_json(summaries), indent=2, allow_nan=False)
        write_report(options.json, f"{text}\n")
    for line in table(summaries):
        print(line)
    return 0


def scored(options: argparse.Namespace) -> "dict[str, Summary]":
    """Score all systems, by the path of their folder.

    Raises:
        EvaluationError: something cannot be scored, or there are fewer than two systems.
    """
    from demixing.evaluation.report import check_writable
    from demixing.evaluation.scoring import score_folder
    from demixing.evaluation.songs import detect_track
    from demixing.evaluation.summary import summarise

    if options.json is not None:
        check_writable(options.json)
    folders = list(dict.fromkeys(options.estimates))
    if len(folders) < 2:
        raise EvaluationError("expected two folders of estimates or more, got one; name another")
    track = options.track or detect_track(options.references)
    result = {}
    for folder in folders:
        print(f"scoring {folder} ...", file=sys.stderr)
        scores = score_folder(options.references, folder, track, options.songs)
        result[str(folder)] = summarise(scores, track)
    return result


def table(summaries: "Mapping[str, Summary]") -> Iterator[str]:
    """Lines of the table: the means of all systems, then the differences from the first one."""
    from demixing.evaluation import comparison
    from demixing.evaluation.report import aligned, printable

    names = [printable(name) for name in summaries]
    (first, *others) = summaries.values()
    rows = [["system", "MEAN", "active", *first.stems_db]]
    for name, one in zip(names, summaries.values(), strict=True):
        figures = [one.mean_db, one.active_mean.song_db, *one.active_mean.stems_db.values()]
        rows.append([name, *("-" if db is None else f"{db:z.3f}" for db in figures)])
    yield from aligned(rows)
    yield ""
    yield (
        f"differences from {names[0]} in dB, {comparison.LEVEL:.0%} interval, "
        "songs in which it is better"
    )
    rows = [["system", "active", *first.stems_db]]
    for name, second in zip(names[1:], others, strict=True):
        mean, stems = comparison.differences(first, second)
        rows.append([name, *map(_cell, (mean, *stems.values()))])
    yield from aligned(rows)
    yield f"{len(first.songs)} songs; active: without silent and nearly silent references"


def _cell(one: "Difference | None") -> str:
    """A difference, its interval, and the number of songs."""
    if one is None:
        return "-"
    between = f" [{one.interval_db[0]:+.2f} {one.interval_db[1]:+.2f}]" if one.interval_db else ""
    return f"{one.mean_db:+.3f}{between} {one.better}/{one.songs}"
