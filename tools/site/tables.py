"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table.

    >>> print(table(("a", "b"), [("1", "2|3")]))
    | a | b |
    |---|---|
    | 1 | 2\|3 |
    """
    lines = [head, *([one.replace("|", "\\|") for one in row] for row in rows)]
    first, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([first, f"|{'---|' * len(head)}", *rest])


def cell(text: str) -> str:
    r"""Return text from the catalogue for a cell: nothing in it is markup.

    >>> cell("Demucs's *_q")
    "Demucs's \\*\\_q"
    """
    return text.replace("*", "\\*").replace("_", "\\_").replace("\n", " ")
