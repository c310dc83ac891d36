"""Train a network; the same as ``demixing train``.

    python train.py runs/RUN.toml [--set a.b=value ...] [--out DIR]
    python train.py RUN... --plot FILE
    torchrun --nproc-per-node N train.py runs/RUN.toml

A run that was stopped resumes from its last checkpoint. With --plot, nothing is trained: the curves
of one or several runs are drawn from their logs.
"""

import logging
import sys
from collections.abc import Sequence

from demixing.cli import console, train
from demixing.cli.arguments import Parser
from demixing.printing import start_log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = Parser(description="Train a network; or, with --plot, draw the curves of runs.")
    train.describe(parser)
    options = parser.parse_args(arguments)
    start_log(logging.WARNING)
    return console.guarded(train.run, options, train.STOPPED)


if __name__ == "__main__":
    sys.exit(main())
