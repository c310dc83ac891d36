"""Write the samples as songs with true stems: ``python -m samples mdx|cdx DIR``.

Prints the folder of the songs, which is the one in the repository if nothing had to be decoded.
"""

import argparse
import sys
from pathlib import Path

import samples
from demixing.errors import DemixError


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m samples", description="Write the samples.")
    parser.add_argument("track", choices=("mdx", "cdx"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        print(samples.folder(options.track, options.folder))
    except DemixError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
