"""Training curves from the logs of runs, which may be finished, interrupted or still running.

The logs are only read, so a run in progress is not disturbed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demixing.errors import ConfigError
from demixing.training import log

MEAN = "mean"

WINDOWS = 20
"""The running median of the loss covers one step in this number."""

POINTS = 400
"""Points of a running median at most."""

Curve = tuple[tuple[int, float], ...]
"""Steps and values; a value that is not finite is NaN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The curves of one run; each is empty if its log does not have it.

    Attributes:
        name: of the run.
        loss: by step.
        rate: learning rate by step.
        waiting: time spent waiting for examples, in percent of the time since the start or the
            last validation, by step.
        scores: SDR in dB of whole songs by step; of each stem, and :data:`MEAN`, which is first.
    """

    name: str
    loss: Curve
    rate: Curve
    waiting: Curve
    scores: dict[str, Curve]

    @property
    def skipped(self) -> tuple[int, ...]:
        """Steps without a finite loss, which changed nothing."""
        return tuple(step for step, value in self.loss if math.isnan(value))

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and mean SDR in dB of the best validation; None without one."""
        known = [one for one in self.scores[MEAN] if not math.isnan(one[1])]
        return max(known, key=lambda one: one[1], default=None)


def read(folder: Path) -> Curves:
    """Read the curves of the run in a folder.

    Raises:
        ConfigError: the folder has no log, or no step was logged yet.
    """
    events = log.events(folder)
    steps = [one for one in events if one["kind"] == "step"]
    if not steps:
        found = "none" if not events else "no step in it"
        raise ConfigError(
            f"expected the log of a run in {str(folder / log.LOG)!r}, found {found}; "
            "name a run that has trained, or its folder"
        )
    tests = [one for one in events if one["kind"] == "validation"]
    stems = sorted({stem for one in tests for stem in one["stems"]})
    busy = curve((one["step"], one.get("busy")) for one in steps if "busy" in one)
    return Curves(
        name=folder.absolute().name,
        loss=curve((one["step"], one.get("loss")) for one in steps),
        rate=curve((one["step"], one.get("rate")) for one in steps),
        waiting=tuple((step, 100 * (1 - value)) for step, value in busy),
        scores={MEAN: curve((one["step"], one.get("mean")) for one in tests)}
        | {stem: curve((one["step"], one["stems"].get(stem)) for one in tests) for stem in stems},
    )


def curve(pairs: Iterable[tuple[int, Any]]) -> Curve:
    """Pairs of steps and logged values as a curve; null and non-finite become NaN.

    >>> curve([(1, 0.5), (2, None)])
    ((1, 0.5), (2, nan))
    """
    return tuple((step, math.nan if value is None else float(value)) for step, value in pairs)


def smoothed(values: Curve) -> Curve:
    """The running median over a part of a run: one step in :data:`WINDOWS`."""
    import numpy as np

    known = [one for one in values if not math.isnan(one[1])]
    half = len(known) // WINDOWS // 2
    if not half:
        return tuple(known)
    numbers = np.array([value for _, value in known])
    # All medians of a long run would take hours.
    middles = np.unique(np.linspace(half, len(known) - half - 1, POINTS).round().astype(int))
    return tuple(
        (known[middle][0], float(np.median(numbers[middle - half : middle + half + 1])))
        for middle in middles.tolist()
    )
