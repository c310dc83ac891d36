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
        if block.numel():
            levels = block.abs().flatten(1)
            self._counts += (levels > 1).sum(dim=1)
            self._peaks = torch.maximum(self._peaks, levels.amax(dim=1))

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
