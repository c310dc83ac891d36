"""Check and make training material, and fit what a recipe makes of its members.

python -m training check DIR...
python -m training fit RECIPE --data DIR... -o FILE
python -m training render mdx|cdx --split valid --hours 1 --out DIR
python -m training corrupt DIR OUT --kind labelnoise|bleeding
python -m training export RUN_FOLDER --name NAME
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from demixing.errors import DemixError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    from demixing.rendering import command as render
    from demixing.training import export
    from demixing.training.data import check, corrupt
    from demixing.training.fitting import fit

    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m training", description=summary)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module, does in (
        ("check", check, "look for what is wrong with data sets; status 1 if something is"),
        ("fit", fit, "fit a recipe's blends, shares and gates"),
        ("render", render, "render songs with known stems"),
        ("corrupt", corrupt, "copy a corpus and spoil some of it"),
        ("export", export, "write what a run has learned as weights for recipes"),
    ):
        command = commands.add_parser(name, help=does)
        module.add_arguments(command)
        command.set_defaults(run=module.run, status=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        for line in options.run(options):
            print(line, flush=True)
    except DemixError as error:
        print("error:", str(error).replace("\n", "\\n"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what is finished stays", file=sys.stderr)
        return 130
    return int(options.status)


if __name__ == "__main__":
    sys.exit(main())
