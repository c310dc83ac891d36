"""Swaps left and right: a violin on the left might as well be on the right."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demixing.training.augmentation_helpers import EachStem, check_probability, for_some


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapChannels(EachStem):
    """Swap the channels of a stem.

    Attributes:
        probability: probability of acting on a stem.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[bool | None, ...]:
        """Draw which stems are swapped."""
        return for_some(rng, stems, self.probability, lambda: True)

    def apply(self, stems: Tensor, drawn: tuple[bool | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        if not any(drawn):
            return stems
        order = [
            2 * number + (channel ^ bool(swapped))
            for number, swapped in enumerate(drawn)
            for channel in (0, 1)
        ]
        return stems.flatten(0, 1)[torch.tensor(order)].view_as(stems)


build = SwapChannels
