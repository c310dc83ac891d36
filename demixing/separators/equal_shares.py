"""An equal share of the mixture for each stem: the score that any real separator must beat."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from demixing.separator import Chunking, distinct


@dataclass(frozen=True, slots=True)
class EqualShares:
    """Divides the mixture by the number of stems.

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
        return chunks[:, None].repeat(1, len(self.stems), 1, 1) / len(self.stems)


def build(stems: Sequence[str] = ("bass", "drums", "other", "vocals")) -> EqualShares:
    """Build the baseline.

    Args:
        stems: names of the outputs.

    Raises:
        ValueError: the names are not distinct.
    """
    return EqualShares(distinct(stems))
