"""The evaluator's own command line.

python -m evaluator REFERENCES ESTIMATES    the same as: demixing score
python -m evaluator grade                   the same as: demixing grade
python -m evaluator preflight               the same as: demixing preflight
python -m evaluator compare                 the same as: demixing compare
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from demixing.cli import console, score
from demixing.cli import main as commands
from demixing.cli.arguments import Parser
from demixing.printing import start_log
from evaluator.grading import command as grading
from evaluator.preflight import command as preflight

COMMANDS = {"grade": grading.main, "preflight": preflight.main}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: command-line arguments; if None, those of the process.

    Raises:
        SystemExit: with the status, unless songs were scored without an error.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    start_log(logging.INFO, "%(message)s")
    if words[:1] == ["compare"]:
        raise SystemExit(commands.main(words))
    if words and words[0] in COMMANDS:
        command = COMMANDS[words[0]]
        raise SystemExit(console.guarded(lambda _: command(words[1:]), argparse.Namespace()))
    options = _parser().parse_args(words)
    if status := console.guarded(score.run, options):
        raise SystemExit(status)


def _parser() -> Parser:
    """Describe the arguments."""
    parser = Parser(
        prog="python -m evaluator",
        description="Score separated songs as AIcrowd's leaderboard does. Three more commands, "
        "each with --help: `compare` compares systems, `grade` runs a submission like the server, "
        "`preflight` checks it for faults.",
    )
    score.describe(parser)
    return parser


if __name__ == "__main__":
    main()
