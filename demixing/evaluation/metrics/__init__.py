"""The metrics: each module of this folder is one, and its name is the key.

The module of a metric has

    TITLE         its name in a table
    DEFINITION    which of the common definitions it follows
    Meter         a class without constructor arguments, see :class:`StemMeter`
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from demixing.errors import EvaluationError

if TYPE_CHECKING:  # numpy is slow to import, and listing names does not need it
    import numpy as np
    from numpy.typing import NDArray


class StemMeter(Protocol):
    """Scores one stem of one song, block by block."""

    def update(self, reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> None:
        """Add the next block.

        Args:
            reference: true stem, ``(samples, channels)``. Not modified.
            estimate: separated stem, same shape. Not modified.
        """

    @property
    def value_db(self) -> float:
        """Score of all blocks so far, in dB."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by name.

    Attributes:
        name: key, the name of its module.
        title: its name in a table.
        definition: which of the common definitions it follows.
        meter: builds a meter for one stem.
    """

    name: str
    title: str
    definition: str
    meter: Callable[[], StemMeter]


def names() -> list[str]:
    """Keys of all metrics, without importing any of them.

    >>> "sdr" in names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Metric:
    """Import the module of one metric.

    Args:
        name: key of the metric.

    Raises:
        EvaluationError: no metric has that name.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise EvaluationError(f"no metric named {name!r}{hint} (available: {', '.join(names())})")
    module = importlib.import_module(f"{__name__}.{name}")
    return Metric(name, module.TITLE, module.DEFINITION, module.Meter)
