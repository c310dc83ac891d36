"""The outline of a waveform: its highest and lowest sample in each of many equal parts."""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demixing.report.sounds import Block

PARTS = 1000
"""About one for each pixel of a wide window."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The outline of a waveform.

    Attributes:
        top: highest sample of each part over all channels, at least 0; full scale at 1.
        bottom: how far each part goes below 0.
    """

    top: NDArray[np.float64]
    bottom: NDArray[np.float64]

    @property
    def peak(self) -> float:
        """The largest absolute sample."""
        return float(max(self.top.max(initial=0), self.bottom.max(initial=0)))

    def plain(self) -> dict[str, float | str]:
        """Values for JSON: both halves as bytes in base64, where 255 is the peak."""
        peak = self.peak
        return {
            "peak": round(peak, 6),
            "top": _bytes(self.top, peak),
            "bottom": _bytes(self.bottom, peak),
        }


class Peaks:
    """Finds the outline of a waveform that arrives in blocks.

    Args:
        samples: length of the waveform.
        parts: of the outline; a shorter waveform has one part for each sample.
    """

    def __init__(self, samples: int, parts: int = PARTS) -> None:
        self._samples = samples
        self._parts = max(min(parts, samples), 1)
        self._top = np.zeros(self._parts)
        self._bottom = np.zeros(self._parts)
        self._done = 0

    def push(self, block: Block) -> None:
        """Add the next block."""
        if not len(block):
            return
        at = np.arange(self._done, self._done + len(block))
        part = at * self._parts // max(self._samples, 1)
        starts = np.flatnonzero(np.diff(part, prepend=-1))
        where = part[starts]
        # Channel by channel: much faster than along the short axis.
        highest = np.maximum.reduceat(functools.reduce(np.maximum, block.T), starts)
        lowest = np.minimum.reduceat(functools.reduce(np.minimum, block.T), starts)
        self._top[where] = np.maximum(self._top[where], highest)
        self._bottom[where] = np.maximum(self._bottom[where], -lowest)
        self._done += len(block)

    def finish(self) -> Outline:
        """The outline of all blocks."""
        return Outline(self._top, self._bottom)


def _bytes(half: NDArray[np.float64], peak: float) -> str:
    """One half of an outline in base64, a byte for each part."""
    scaled = np.round(255 * half / peak) if peak else np.zeros_like(half)
    return base64.b64encode(scaled.astype(np.uint8).tobytes()).decode("ascii")
