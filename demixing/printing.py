"""Messages for a terminal or a log: one line each, of bounded length, whatever they quote."""

import logging

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
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in message
    )


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
