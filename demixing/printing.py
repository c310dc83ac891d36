"""Text for a terminal or a log: one line each, whatever it quotes, and columns that align."""

import logging
import unicodedata
from collections.abc import Iterator, Sequence

MOST_SHOWN = 2000
"""Characters of a message that are printed."""


def one_line(message: str) -> str:
    r"""Make one line of bounded length of a message, which may quote names from outside.

    Whatever a terminal does not print as it is (line ends, escape sequences, marks that turn the
    direction of writing) becomes an escape sequence of Python.

    >>> one_line("cannot read \x1b[2Jsong\n")
    'cannot read \\x1b[2Jsong\\n'
    """
    if len(message) > MOST_SHOWN:
        message = f"{message[: MOST_SHOWN - 500]} ... {message[-490:]}"
    return visible(message)


def visible(text: str, keep: str = "") -> str:
    r"""Escape whatever a terminal does not print as it is, but not backslashes.

    Args:
        text: may quote names from outside.
        keep: characters that are not escaped.

    >>> visible("two\tcolumns\x1b[2J", keep="\t")
    'two\tcolumns\\x1b[2J'
    """
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode()
        for one in text
    )


def printable(name: str) -> str:
    r"""Escape unprintable characters, so that a name fits on one line and stays unique.

    >>> print(printable("two\nlines, 100 %"))
    two\nlines, 100 %
    """
    return "".join(
        char
        if char.isprintable() and char != "\\"
        else char.encode("unicode_escape").decode("ascii")
        for char in name
    )


def columns(text: str) -> int:
    """Width of printable text in a terminal, in characters.

    >>> columns("song"), columns("曲")
    (4, 2)
    """
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align rows of cells, the first column to the left and the others to the right."""
    widths = [max(columns(cell) for cell in cells) for cells in zip(*rows, strict=True)]
    for row in rows:
        song_cell = row[0] + " " * (widths[0] - columns(row[0]))
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([song_cell, *numbers]).rstrip()


class OneLine(logging.Formatter):
    """Formats the messages of a log like :func:`one_line`; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Format a message, without its traceback."""
        return one_line(super().formatMessage(record))


def start_log(level: int, form: str = "%(levelname)s: %(message)s") -> None:
    """Write the log to stderr, one bounded line for each message, unless it goes elsewhere.

    Args:
        level: messages below it are dropped.
        form: of the lines, as for :class:`logging.Formatter`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(form))
    logging.basicConfig(level=level, handlers=[handler])
