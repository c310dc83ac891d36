"""Separate songs as the grader does, score the files, print the leaderboard: ``demixing evaluate``.

python evaluate_locally.py                     both tracks, on the samples in this repository
python evaluate_locally.py --data DIR          MUSDB18-HQ, MDX'23, CDX'23, DnR, stem folders
python evaluate_locally.py --limit             with the grader's time limit for each song
"""

import os
import sys
from collections.abc import Sequence

from demixing.machine.lifetime import die_with_parent

if __name__ == "__mp_main__":  # a worker: the imports below take seconds on a busy machine
    die_with_parent(os.getppid())

from demixing.cli import main as cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``demixing evaluate`` and return the exit status."""
    return cli.main(["evaluate", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    cli.end_cleanly()
    sys.exit(main())
