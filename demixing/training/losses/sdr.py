"""The negative SDR of the leaderboards: energy of the error over that of the stem, in dB.

    10 log10((error + 1e-7) / (stem + quiet * mixture + 1e-7) + soft)

Without ``quiet`` and ``soft`` it is the leaderboards' score, of an example instead of a song.
``soft`` bounds it for good estimates, so that easy examples do not dominate the gradient. ``quiet``
defines it for stems that are silent or nearly silent, which are compared with the mixture: it is
0 dB if the error is below the mixture by the level ``quiet``.

Source: :mod:`demixing.evaluation.metrics.sdr`; the soft threshold: Wisdom et al., "What's all the
fuss about free universal sound separation data?", ICASSP 2021.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from demixing.training.loss_helpers import exact, pooled

DELTA = 1e-7
"""Added to both energies, as on the leaderboards."""


@dataclass(frozen=True, slots=True)
class NegativeSdr:
    """See the module and :class:`demixing.training.losses.Loss`.

    Attributes:
        soft: energy of a negligible error, relative to that of the stem.
        quiet: part of the energy of the mixture that is added to that of the stem.
    """

    soft: float
    quiet: float

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return self.blocks(estimate, stems, 1)[..., 0]

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        estimate, stems = exact(estimate, stems)
        error = energies(estimate - stems, count)
        mixture = energies(stems.sum(dim=1, keepdim=True), count)
        reference = energies(stems, count) + self.quiet * mixture + DELTA
        return 10 * ((error + DELTA) / reference + self.soft).log10()


def energies(audio: Tensor, count: int) -> Tensor:
    """Energies of blocks over both channels.

    Args:
        audio: ``(batch, stems, 2, samples)``.
        count: number of blocks.

    Returns:
        ``(batch, stems, count)``.
    """
    return pooled(audio.square().sum(dim=2), count) * (audio.shape[-1] / count)


def build(best_db: float = 30.0, quiet_db: float = -30.0) -> NegativeSdr:
    """Build the loss.

    Args:
        best_db: SDR that counts as perfect; ``inf`` as on the leaderboards.
        quiet_db: level relative to the mixture at which a stem counts as silent, 0 or less;
            ``-inf`` as on the leaderboards.

    Raises:
        ValueError: a level is out of range.
    """
    if math.isnan(best_db) or best_db <= 0:
        raise ValueError(f"best_db must be above 0, got {best_db}")
    if math.isnan(quiet_db) or quiet_db > 0:
        raise ValueError(f"quiet_db must be 0 or less, got {quiet_db}")
    return NegativeSdr(soft=10 ** (-best_db / 10), quiet=10 ** (quiet_db / 10))
