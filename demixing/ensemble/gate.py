"""Exact silence for a stem that the song does not have.

A stem that is silent in truth scores 0 dB if it is silent in the answer, too, and far below if
it is not: -70 to -100 dB for residues that nobody hears. One such song in a hundred costs more
than most improvements gain. A stem that is there loses its few dB if it is silenced. So it is
silenced where the expected gain is positive; with such stakes that is already so where silence is
not even likely.

How likely it is follows from the stem's level below the mixture, by a logistic curve that was
fitted to validation songs.
"""

import math
from dataclasses import dataclass

from demixing.errors import ConfigError

DELTA = 1e-7
"""Added to both energies by the official SDR, which makes silence worth something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Decides for one stem.

    Attributes:
        midpoint_db: level of the separated stem, relative to the mixture, where it is as likely
            that the true stem is silent as that it is not.
        width_db: how much further down the odds of silence are e to 1.
        active_db: SDR that a stem so quiet is expected to have if it is not silent.
    """

    midpoint_db: float
    width_db: float
    active_db: float

    def __post_init__(self) -> None:
        if not self.width_db > 0:
            raise ConfigError(f"expected a width_db above 0, got {self.width_db}")

    def silences(self, stem_energy: float, mixture_energy: float) -> bool:
        """Whether silence scores better.

        Args:
            stem_energy: sum of the squares of all samples of the separated stem.
            mixture_energy: the same of the mixture.

        >>> gate = Gate(midpoint_db=-40.0, width_db=3.0, active_db=2.0)
        >>> [gate.silences(level, 1e4) for level in (1e4, 1e2, 1e-1, 0.0)]
        [False, False, True, False]
        """
        if stem_energy <= 0 or mixture_energy <= 0:
            return False
        level_db = 10 * math.log10(stem_energy / mixture_energy)
        gain_db = 10 * math.log10(stem_energy / DELTA + 1)
        odds = math.exp(min((self.midpoint_db - level_db) / self.width_db, 700))
        # The chance times what is won, against the other chance times what is lost.
        return odds * gain_db > self.active_db
