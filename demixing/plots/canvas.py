"""What all figures share: their style, their formats, and how they are written.

The colours are Okabe and Ito's, which remain distinct with any colour vision
(https://jfly.uni-koeln.de/color/). Figures use matplotlib's objects, never ``pyplot``: no window
is opened and no global state is left.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demixing import atomic
from demixing.errors import ConfigError, OutputError
from demixing.evaluation.report_files import check_writable
from demixing.printing import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")

WIDTH_IN, DPI = 10.0, 150
"""Text of 10 points is readable when a page shows the figure 1000 pixels wide."""

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#6B6B6B",
)
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
"""In the order in which series get them."""

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.facecolor": "white",
    "svg.hashsalt": "demixing",  # equal figures become equal files
    "text.parse_math": False,  # a name may contain dollar signs
    "xtick.color": "#404040",
    "ytick.color": "#404040",
}


def check(path: Path, suffixes: tuple[str, ...] = SUFFIXES, what: str = "picture") -> None:
    """Raise if a picture clearly cannot be written to ``path``; call it before long work.

    Args:
        path: of the file.
        suffixes: that it may have, in lower case.
        what: it is, for the message.

    Raises:
        ConfigError: the file has another suffix.
        EvaluationError: its folder does not exist, or it is not a regular file.
    """
    if path.suffix.lower() not in suffixes:
        listed = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
        raise ConfigError(
            f"expected a file name that ends in {listed} for a {what}, got {str(path)!r}"
        )
    check_writable(path)


def check_figure(path: Path) -> None:
    """As :func:`check`, for a figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    check(path)
    import matplotlib.figure  # noqa: F401


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in our style, whatever the user's configuration of matplotlib is."""
    from matplotlib import style as styles

    with styles.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box is drawn
        yield


def figure(height_in: float) -> Figure:
    """An empty figure of our width; call it within :func:`style`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_IN, height_in))


def save(drawn: Figure, path: Path) -> None:
    """Write a figure; the file appears whole or not at all. Call it within :func:`style`.

    Raises:
        OutputError: it cannot be written.
    """
    kind = path.suffix[1:].lower()
    dated = {"svg": "Date", "pdf": "CreationDate"}
    metadata = {dated[kind]: None} if kind in dated else {}
    try:
        with atomic.file(path.resolve()) as unfinished:  # a link stays a link
            drawn.savefig(unfinished, format=kind, metadata=metadata)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r} ({error.strerror}); choose another path"
        ) from error


def shortened(text: str, most: int) -> str:
    """A name for a label: printable, and not longer than ``most`` characters.

    >>> shortened("a long name", 6)
    'a lon…'
    """
    text = printable(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
