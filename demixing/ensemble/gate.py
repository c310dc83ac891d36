"""Gates: exact silence for a stem that is absent from the song.

If the reference of a stem is silent, a silent estimate scores 0 dB, and any other one far less: -70
to -100 dB even for inaudible residues. One such song in a hundred costs more than most improvements
gain. Silencing a stem that is not silent only costs its few dB. So a stem is silenced if the
expected gain is positive, which can be the case even if silence is unlikely.

The probability of silence is a logistic function of the stem's level relative to the mixture,
fitted to validation songs.
"""

import math
from dataclasses import dataclass

from demixing.errors import ConfigError

DELTA = 1e-7
"""The official SDR adds this to both energies, so a silent stem has a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Decides for one stem.

    Attributes:
        midpoint_db: level of the separated stem relative to the mixture at which the probability of
            a silent reference is one half.
        width_db: slope of the logistic curve: dB per factor e of the odds.
        active_db: expected SDR of a stem this quiet whose reference is not silent.
    """

    midpoint_db: float
    width_db: float
    active_db: float

    def __post_init__(self) -> None:
        if not self.width_db > 0:
            raise ConfigError(f"expected a width_db above 0, got {self.width_db}")

    def silences(self, stem_energy: float, mixture_energy: float) -> bool:
        """Whether silence has the higher expected score.

        Args:
            stem_energy: sum of squares of all samples of the separated stem.
            mixture_energy: sum of squares of all samples of the mixture.

        >>> gate = Gate(midpoint_db=-40.0, width_db=3.0, active_db=2.0)
        >>> [gate.silences(level, 1e4) for level in (1e4, 1e2, 1e-1, 0.0)]
        [False, False, True, False]
        """
        if stem_energy <= 0 or mixture_energy <= 0:
            return False
        level_db = 10 * math.log10(stem_energy / mixture_energy)
        gain_db = 10 * math.log10(stem_energy / DELTA + 1)
        odds = math.exp(min((self.midpoint_db - level_db) / self.width_db, 700))
        # Odds times gain against loss.
        return odds * gain_db > self.active_db
