"""Commands of ``python -m my_submission`` about weights and what is submitted, one module each.

Each has ``add``, which describes its arguments, and ``run``, which returns the exit status. Here is
how all commands speak: paths on stdout, one a line, and errors and notes on stderr, one a line.
"""

import os
import sys
from pathlib import Path


def complain(message: str) -> None:
    """Print an error as one line, whatever the names of the files in it."""
    print("error:", message.replace("\n", "\\n"), file=sys.stderr)


def note(message: str) -> None:
    """Print as one line what is worth knowing and no error; nothing for an empty message."""
    if message:
        print("note:", message.replace("\n", "\\n"), file=sys.stderr)


def say(path: Path) -> None:
    """Print a path byte by byte as the file system has it, even if it is no valid text."""
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(path) + b"\n")
    sys.stdout.buffer.flush()
