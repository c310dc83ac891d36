"""Clips mixtures or stems at a limit below their peak, hard or soft.

The mixture must stay the sum of its stems. So clipping of the mixture becomes a gain that changes
with time, and every stem is multiplied by it. Or each stem is clipped separately, like a distorted
guitar or a voice that was recorded too loud.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demixing.training.augmentation_helpers import (
    check_probability,
    check_range,
    each,
    for_some,
    linear,
)


@dataclass(frozen=True, slots=True)
class Limit:
    """Drawn parameters.

    Attributes:
        under_db: distance of the limit below the peak.
        soft: whether to saturate softly, like tape, instead of cutting.
    """

    under_db: float
    soft: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Clip the mixture, or every stem separately.

    Attributes:
        low_db: least distance of the limit below the peak.
        high_db: greatest distance.
        soft: fraction of cases that saturate softly, 0 to 1.
        each_stem: clip each stem separately. Otherwise it acts on all stems alike.
        probability: probability of acting on an example, or on a stem.
    """

    low_db: float = 1.0
    high_db: float = 9.0
    soft: float = 0.5
    each_stem: bool = False
    probability: float = 0.05

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, "_db", 0, 40)
        check_probability(self.probability)
        if not 0 <= self.soft <= 1:
            raise ValueError(f"need 0 <= soft <= 1, got {self.soft}")

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[Limit | None, ...]:
        """Draw a limit for the mixture, or one for each stem."""
        return for_some(
            rng,
            stems if self.each_stem else 1,
            self.probability,
            lambda: Limit(rng.uniform(self.low_db, self.high_db), bool(rng.random() < self.soft)),
        )

    def apart(
        self, drawn: tuple[Limit | None, ...], stems: int
    ) -> list[tuple[Limit | None, ...]] | None:
        """See :class:`demixing.training.augmentations.Apart`; the mixture needs all stems."""
        if self.each_stem:
            return [(limit,) for limit in drawn]
        return [drawn] * stems if drawn[0] is None else None

    def apply(self, stems: Tensor, drawn: tuple[Limit | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        if self.each_stem:
            return each(stems, drawn, lambda stem, limit: stem * limiting_gain(stem, limit))
        limit = drawn[0]
        return stems if limit is None else stems * limiting_gain(stems.sum(dim=0), limit)


def limiting_gain(sound: Tensor, limit: Limit) -> Tensor:
    """Gain of each sample that keeps a sound within a limit.

    Args:
        sound: ``(2, samples)``.
        limit: relative to the peak of the sound.

    Returns:
        Factors above 0 and at most 1, ``(2, samples)``.
    """
    level = sound.abs() / (sound.abs().max() * linear(-limit.under_db)).clamp(min=1e-12)
    if not limit.soft:
        return 1 / level.clamp(min=1)
    return torch.where(level > 1e-3, level.tanh() / level.clamp(min=1e-3), 1)


build = Clip
