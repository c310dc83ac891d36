"""Overdriven mixtures: what is too loud for full scale is flattened, in a hurry or on purpose.

The mixture that a network hears is always the sum of its stems, so the damage of the mixture is
shared out: where it is turned down, every stem is turned down as much. Or each stem is overdriven
for itself, as a distorted guitar or a voice that was recorded too loud.
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
    """What is drawn.

    Attributes:
        under_db: how far the limit lies below the peak.
        soft: rounded off, as by tape, instead of cut.
    """

    under_db: float
    soft: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Clip the mixture, or every stem for itself.

    Attributes:
        low_db: the limit is at least this below the peak.
        high_db: and at most this.
        soft: part of all cases that are rounded off.
        each_stem: clip stems for themselves. Otherwise it acts on all stems alike.
        probability: of acting on an example, or on a stem.
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
        """Choose a limit for the mixture, or one for each stem."""
        return for_some(
            rng,
            stems if self.each_stem else 1,
            self.probability,
            lambda: Limit(rng.uniform(self.low_db, self.high_db), bool(rng.random() < self.soft)),
        )

    def apply(self, stems: Tensor, drawn: tuple[Limit | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        if self.each_stem:
            return each(stems, drawn, lambda stem, limit: stem * turned_down(stem, limit))
        limit = drawn[0]
        return stems if limit is None else stems * turned_down(stems.sum(dim=0), limit)


def turned_down(sound: Tensor, limit: Limit) -> Tensor:
    """By how much each sample of a sound is turned down to stay within a limit.

    Args:
        sound: ``(2, samples)``.
        limit: relative to its peak.

    Returns:
        Factors, above 0 and at most 1, same shape.
    """
    level = sound.abs() / (sound.abs().max() * linear(-limit.under_db)).clamp(min=1e-12)
    if not limit.soft:
        return 1 / level.clamp(min=1)
    return torch.where(level > 1e-3, level.tanh() / level.clamp(min=1e-3), 1)


build = Clip
