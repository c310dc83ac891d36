"""Train a network; the same as ``demixing train``.

    python train.py runs/RUN.toml [--set a.b=value ...] [--out DIR]
    torchrun --nproc-per-node N train.py runs/RUN.toml

A run that was stopped resumes from its last checkpoint.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from demixing.cli import console, train
from demixing.printing import start_log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Train a network.")
    train.describe(parser)
    options = parser.parse_args(arguments)
    start_log(logging.WARNING)
    return console.guarded(train.run, options, train.STOPPED)


if __name__ == "__main__":
    sys.exit(main())
