"""The command line.

python -m evaluator REFERENCES ESTIMATES    score folders of stems
python -m evaluator grade                   run a submission as the grading server does
python -m evaluator preflight               find what the grader hides or punishes
"""

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from demixing.errors import DemixError
from demixing.evaluation import metrics
from demixing.evaluation.songs import STEMS, detect_track
from evaluator.grading import command
from evaluator.preflight import command as preflight

# The rest is imported once there is something to score: --help must not wait for numpy.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a DemixError is a message and status 2, never a traceback.

    Args:
        arguments: words after the program's name; ``None`` takes them from the shell.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if words[:1] == ["grade"]:
            raise SystemExit(command.main(words[1:]))
        if words[:1] == ["preflight"]:
            raise SystemExit(preflight.main(words[1:]))
        table = _evaluate(_parser().parse_args(words))
    except DemixError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if isinstance(sys.stdout, io.TextIOWrapper):  # a test may have put something else there
        sys.stdout.reconfigure(errors="backslashreplace")  # names beyond the terminal's encoding
    print(table, end="")


def _parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluator",
        description="Score separated songs as AIcrowd's board does. Two more commands, each with "
        "--help: `grade` runs a submission as the server does, `preflight` looks for faults in it.",
    )
    parser.add_argument(
        "references", type=Path, help="Folder that holds a folder per song with the true stems."
    )
    parser.add_argument(
        "estimates", type=Path, help="Folder that holds the same songs with separated stems."
    )
    parser.add_argument(
        "--track",
        choices=list(STEMS),
        help="Music or film sound; told from the references' file names if not given.",
    )
    parser.add_argument(
        "--songs", nargs="+", metavar="NAME", help="Score these songs and no others."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write all scores as JSON.")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="Write the table as CSV.")
    parser.add_argument(
        "--metric",
        choices=metrics.names(),
        default="sdr",
        help="How to score; sdr if not given.",
    )
    return parser


def _evaluate(options: argparse.Namespace) -> str:
    """Score, write what was asked for, and return the table."""
    from demixing.evaluation import report
    from demixing.evaluation.scoring import score_folder
    from demixing.evaluation.summary import summarise

    for path in (options.json, options.csv):
        if path is not None:
            report.check_writable(path)
    metric = metrics.load(options.metric)
    track = options.track or detect_track(options.references)
    scores = score_folder(
        options.references,
        options.estimates,
        track,
        options.songs,
        _show_progress if sys.stderr.isatty() else None,
        metric.meter,
    )
    summary = summarise(scores, track)
    if options.json is not None:
        report.write_report(options.json, report.json_report(summary, metric))
    if options.csv is not None:
        report.write_report(options.csv, report.csv_report(summary))
    return report.text_table(summary, metric)


def _show_progress(done: int, total: int, name: str) -> None:
    """Say on a terminal how far it is."""
    print(f"scored {done} of {total}: {name!a}", file=sys.stderr)


if __name__ == "__main__":
    main()
