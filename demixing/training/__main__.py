"""Check and make training material, fit recipes, train and export networks.

python -m demixing.training check DIR...
python -m demixing.training fit RECIPE --data DIR... -o FILE
python -m demixing.training render mdx|cdx --split valid --hours 1 --out DIR
python -m demixing.training corrupt DIR OUT --kind labelnoise|bleeding
python -m demixing.training train RUN
python -m demixing.training export RUN_FOLDER --name NAME
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from demixing import console
from demixing.rendering import command as render
from demixing.training.commands import check, corrupt, export, fit, train

COMMANDS = {
    "check": check,
    "fit": fit,
    "render": render,
    "corrupt": corrupt,
    "train": train,
    "export": export,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m demixing.training", description=summary)
    commands = parser.add_subparsers(dest="command", required=True)
    for module in COMMANDS.values():
        module.add(commands)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    return console.guarded(COMMANDS[options.command].run, options)


if __name__ == "__main__":
    sys.exit(main())
