"""Silence for each stem: it scores 0 dB, and a separator that scores lower does harm."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from demixing.separator import Chunking, distinct


@dataclass(frozen=True, slots=True)
class Silence:
    """Returns zeros for each stem.

    Attributes:
        stems: names of the outputs.
        sample_rate_hz: None, any rate.
        chunking: arbitrary; any length would do.
    """

    stems: tuple[str, ...]
    sample_rate_hz: None = None
    chunking: Chunking = Chunking(chunk=1 << 16, hop=1 << 16)

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return chunks.new_zeros(len(chunks), len(self.stems), *chunks.shape[1:])


def build(stems: Sequence[str] = ("bass", "drums", "other", "vocals")) -> Silence:
    """Build the baseline.

    Args:
        stems: names of the outputs.

    Raises:
        ValueError: the names are not distinct.
    """
    return Silence(distinct(stems))
