"""Train a network.

    python train.py runs/RUN.toml [--set a.b=value ...] [--out DIR]
    torchrun --nproc-per-node N train.py runs/RUN.toml

A run that was stopped goes on where it was saved.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from demixing.errors import DemixError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Train a network.")
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="TOML file, see demixing/training/config.py"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="change an option of the run, as in optimiser.learning_rate=1e-4",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the run (training_outputs/RUN)"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        from demixing.training import config

        run = config.load(options.run, options.settings)
        from demixing.training import distributed, loop

        folder = options.out or Path("training_outputs", options.run.stem)
        with distributed.joined() as processes:
            for line in loop.train(run, folder, processes):
                if processes.first:
                    print(line, flush=True)
    except DemixError as error:
        print("error:", str(error).replace("\n", "\\n"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run it again to go on after the last save", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
