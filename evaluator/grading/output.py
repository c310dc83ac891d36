"""Shows what a submission writes to its standard output and errors.

It goes through a pipe, because a file descriptor of the grader's terminal can also be read from,
and one of its log can be truncated. Control characters are escaped, and the length is bounded.
"""

import os
import sys
from typing import IO

from demixing.printing import printable

MOST_BYTES = 256 * 1024
"""Output of one start that is shown; the rest is read and dropped."""

LONGEST_LINE = 4096
"""Longer lines are broken."""

PIECE_BYTES = 64 * 1024
MOST_PIECES = 64
"""Pieces that are read at a time: a submission could write without end."""


class Output:
    """Prints the output of a submission, line by line.

    Args:
        pipe: its output.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._line = b""
        self._left = MOST_BYTES
        os.set_blocking(pipe.fileno(), False)

    @property
    def open(self) -> bool:
        """Whether more may come."""
        return not self._pipe.closed

    def fileno(self) -> int:
        """For :func:`select.select`."""
        return self._pipe.fileno()

    def show(self) -> None:
        """Print what has been written by now."""
        for _ in range(MOST_PIECES if self.open else 0):
            try:
                piece = os.read(self._pipe.fileno(), PIECE_BYTES)
            except BlockingIOError:
                return
            if not piece:
                self.close()
                return
            self._add(piece)

    def close(self) -> None:
        """Print the last line, which may have no end."""
        if self.open:
            self._pipe.close()
            if self._line:
                self._print(self._line)
                self._line = b""

    def _add(self, piece: bytes) -> None:
        """Print whole lines of a piece, and keep the rest."""
        shown = piece[: self._left]
        if self._left and len(shown) < len(piece):
            shown += b"\n(the rest of the submission's output is not shown)\n"
        self._left = max(self._left - len(piece), 0)
        *lines, self._line = (self._line + shown).split(b"\n")
        for line in lines:
            self._print(line)
        if len(self._line) > LONGEST_LINE:
            self._print(self._line)
            self._line = b""

    def _print(self, line: bytes) -> None:
        """Print one line; of a progress bar, only its last state."""
        line = line.rstrip(b"\r").rpartition(b"\r")[2]
        for start in range(0, max(len(line), 1), LONGEST_LINE):
            text = line[start : start + LONGEST_LINE].decode(errors="replace")
            sys.stderr.write(f"{printable(text.expandtabs())}\n")
