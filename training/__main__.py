"""Make training material, and fit what a recipe makes of its members.

python -m training fit RECIPE --data DIR... -o FILE
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from evaluator.errors import EvaluationError
from my_submission.errors import DemixError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    from training import fit

    parser = argparse.ArgumentParser(prog="python -m training", description=(__doc__ or "")[:55])
    commands = parser.add_subparsers(dest="command", required=True)
    fit.add_arguments(commands.add_parser("fit", help="fit a recipe's blends, shares and gates"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        print("\n".join(fit.run(options)))
    except (DemixError, EvaluationError) as error:
        print("error:", str(error).replace("\n", "\\n"), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
