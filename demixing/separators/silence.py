"""Silence for every stem: 0 dB by definition, the floor below which a separator does harm."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from demixing.separator import Chunking, distinct


@dataclass(frozen=True, slots=True)
class Silence:
    """Gives zeros for each stem."""

    stems: tuple[str, ...]
    sample_rate_hz: None = None
    chunking: Chunking = Chunking(chunk=1 << 16, hop=1 << 16)

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return chunks.new_zeros(len(chunks), len(self.stems), *chunks.shape[1:])


def build(stems: Sequence[str] = ("bass", "drums", "other", "vocals")) -> Silence:
    """Build the floor for the given names of stems."""
    return Silence(distinct(stems))
