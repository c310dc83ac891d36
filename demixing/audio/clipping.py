"""Counts clipped samples, and warns about them."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)


class Clipping:
    """Counts samples above full scale, which integer files clip.

    Args:
        stems: names of the stems, in the order of the first axis.
    """

    def __init__(self, stems: Sequence[str]) -> None:
        self._stems = stems
        self._counts = torch.zeros(len(stems), dtype=torch.int64)
        self._peaks = torch.zeros(len(stems))

    def count(self, block: Tensor) -> None:
        """Count them in the next block, ``(stems, channels, samples)``."""
        if not block.numel():
            return
        for index, stem in enumerate(block):
            low, high = torch.aminmax(stem)
            peak = torch.maximum(-low, high)
            self._peaks[index] = torch.maximum(self._peaks[index], peak)
            if peak > 1:  # rare, so the samples are seldom counted
                self._counts[index] += (stem.abs() > 1).sum()

    def warn(self) -> None:
        """Log a warning for each stem that has any."""
        for stem, count, peak in zip(self._stems, self._counts, self._peaks, strict=True):
            if count:
                logger.warning(
                    "%s: %d samples are above full scale, the peak is %.2f: "
                    "integer files clip them",
                    stem,
                    int(count),
                    float(peak),
                )
