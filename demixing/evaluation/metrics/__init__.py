"""The metrics: one file for each definition, which may have several results.

The module of a metric has

    METRICS    its results, each a :class:`Metric` with a single value per stem
    a class    that computes them all, see :class:`SongMeter`

The name of a module stands for all of its metrics. Conventions that all modules share:

* Audio is float32, ``(stems, samples, channels)``, full scale at ±1. Files of 16 and 24 bits are
  exact in it.
* References and estimates have the same shape. Nothing is cut, padded, mixed down or resampled.
* The mixture, where a definition needs it, is the sum of the references.
* A value that is undefined or infinite is None. It is left out of means.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from demixing.errors import EvaluationError

if TYPE_CHECKING:  # numpy is slow to import, and listing names does not need it
    import numpy as np
    from numpy.typing import NDArray

    Stems = NDArray[np.float32]

OFFICIAL = "sdr"
"""The score of the leaderboards."""


@dataclass(frozen=True, slots=True)
class Format:
    """What a meter knows of a song before its first block.

    Attributes:
        stems: number of stems.
        channels: number of channels.
        samples: length per channel.
        rate_hz: sample rate.
    """

    stems: int
    channels: int
    samples: int
    rate_hz: int


class SongMeter(Protocol):
    """Scores the stems of one song, block by block.

    A meter sees all stems of a song together. One that needs whole songs keeps the blocks.
    """

    @property
    def passes(self) -> int:
        """How many times the song must be read from its beginning: 1 or 2."""

    def update(self, references: Stems, estimates: Stems) -> None:
        """Add the next block.

        Args:
            references: true stems, ``(stems, samples, channels)``. Valid during the call only, and
                not modified.
            estimates: separated stems, of the same shape; likewise.
        """

    def end_pass(self) -> None:
        """Note that all blocks were added; after the last pass, compute what is left."""

    def values(self) -> Mapping[str, Sequence[float | None]]:
        """The value of each stem, by name of metric; None where it is undefined."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by name.

    Attributes:
        name: key on the command line and in files.
        id: name of the definition. Another definition has another id, so numbers with the same id
            are comparable.
        title: its name in a table.
        definition: the definition in a few words.
        unit: of its values; empty if they have none.
        higher_is_better: its direction.
        silence: one sentence on silent references and estimates.
        meter: builds a meter for one song. Metrics of one module share the meter.
        library: imports an optional library, or raises :class:`EvaluationError`; None if the metric
            needs none.
    """

    name: str
    id: str
    title: str
    definition: str
    unit: str
    higher_is_better: bool
    silence: str
    meter: Callable[[Format], SongMeter]
    library: Callable[[], object] | None = None


def modules() -> list[str]:
    """Names of all modules, without importing any of them; the official one is the first.

    >>> modules()[0]
    'sdr'
    """
    found = [module.name for module in pkgutil.iter_modules(__path__)]
    return [OFFICIAL, *sorted(name for name in found if name != OFFICIAL)]


def names() -> list[str]:
    """Names of all metrics; the official one is the first."""
    return [metric.name for module in modules() for metric in _of(module)]


def load(name: str) -> Metric:
    """Import the module of one metric.

    Args:
        name: of the metric.

    Raises:
        EvaluationError: no metric has that name.
    """
    found = {one.name: one for one in expand([name])}
    if name not in found:
        raise EvaluationError(f"expected one metric, got {name!r}, which is {', '.join(found)}")
    return found[name]


def expand(wanted: Iterable[str]) -> list[Metric]:
    """Load metrics by their names, or all metrics of a module by its name.

    Args:
        wanted: names; repeated ones count once.

    Raises:
        EvaluationError: there is no such name.
    """
    found = [metric for name in wanted for metric in _named(name)]
    return list({metric.name: metric for metric in found}.values())


def ready(wanted: Iterable[str]) -> list[Metric]:
    """Load metrics as :func:`expand` does, and their libraries; call it before long work.

    Raises:
        EvaluationError: there is no such name, or a library is not installed.
    """
    found = expand(wanted)
    for metric in found:
        if metric.library is not None:
            metric.library()
    return found


def _named(name: str) -> Sequence[Metric]:
    """One metric, or all of a module."""
    known = modules()
    if name in known:
        return _of(name)
    metrics = {metric.name: metric for module in known for metric in _of(module)}
    if name in metrics:
        return [metrics[name]]
    close = difflib.get_close_matches(name, [*known, *metrics], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(dict.fromkeys([*metrics, *known]))
    raise EvaluationError(f"no metric named {name!r}{hint} (available: {listed})")


def _of(module: str) -> tuple[Metric, ...]:
    """The metrics of a module."""
    found: tuple[Metric, ...] = importlib.import_module(f"{__name__}.{module}").METRICS
    return found
