"""Equalises each stem differently: no two instruments or microphones are the same.

The curve is a sum of bells that are smooth over octaves, as in mixing. The filter has zero phase,
so transients stay in place, and stems stay aligned.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from demixing.training.augmentation_helpers import (
    EachStem,
    check_probability,
    check_range,
    each,
    for_some,
    log_uniform,
)
from demixing.training.filtering import convolve, zero_phase

TAPS = 2047
"""Length of the filter; it resolves about 40 Hz at 44.1 kHz."""
POINTS = 4097
"""Number of frequencies at which the curve is computed."""


@dataclass(frozen=True, slots=True)
class Bump:
    """One bell of a curve.

    Attributes:
        centre_hz: its centre.
        gain_db: gain at the centre.
        width_octaves: distance from the centre at which its gain in dB is 61 %.
    """

    centre_hz: float
    gain_db: float
    width_octaves: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Drawn parameters of a stem.

    Attributes:
        bumps: bells whose gains in dB are summed.
        rate_hz: sample rate of the stem.
    """

    bumps: tuple[Bump, ...]
    rate_hz: int

    def gain_db(self, hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gains in dB at frequencies in Hz, both ``(frequencies,)``."""
        octaves = np.log2(np.maximum(hz, 1.0))
        total = np.zeros_like(octaves)
        for bump in self.bumps:
            distance = (octaves - np.log2(bump.centre_hz)) / bump.width_octaves
            total += bump.gain_db * np.exp(-0.5 * distance**2)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Equaliser(EachStem):
    """Filter every stem with a random smooth curve.

    Attributes:
        bumps: number of bells in a curve.
        most_db: largest magnitude of the gain of a bell.
        low_hz: lowest centre.
        high_hz: highest centre; each octave in between is equally likely.
        probability: probability of acting on a stem.
    """

    bumps: int = 3
    most_db: float = 6.0
    low_hz: float = 60.0
    high_hz: float = 14_000.0
    probability: float = 0.3

    def __post_init__(self) -> None:
        check_range(self.low_hz, self.high_hz, "_hz", 10, 100_000)
        check_probability(self.probability)
        if not 1 <= self.bumps <= 16 or not 0 <= self.most_db <= 24:
            raise ValueError(
                f"need 1 <= bumps <= 16 and 0 <= most_db <= 24, got {self.bumps} and {self.most_db}"
            )

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[Curve | None, ...]:
        """Draw a curve for each stem."""

        def bump() -> Bump:
            return Bump(
                log_uniform(rng, self.low_hz, self.high_hz),
                rng.uniform(-self.most_db, self.most_db),
                rng.uniform(0.4, 2.0),
            )

        return for_some(
            rng,
            stems,
            self.probability,
            lambda: Curve(tuple(bump() for _ in range(self.bumps)), rate_hz),
        )

    def apply(self, stems: Tensor, drawn: tuple[Curve | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        return each(stems, drawn, _filtered)


def _filtered(stem: Tensor, curve: Curve) -> Tensor:
    """Filter one stem, ``(2, samples)``."""
    hz = np.linspace(0, curve.rate_hz / 2, POINTS)
    impulse = zero_phase(10 ** (curve.gain_db(hz) / 20), TAPS)
    return convolve(stem, impulse, delay=TAPS // 2)


build = Equaliser
