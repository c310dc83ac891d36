"""Makes stereo stems narrower or wider, and mono stems, such as speech, stereo.

A stem is its middle, (left + right) / 2, and its side, (left - right) / 2. Only the side changes,
so playback in mono stays the same. Speech corpora are mono: a network that is trained on them alone
learns "exactly in the middle" as a property of speech.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demixing.training.augmentation_helpers import (
    EachStem,
    check_probability,
    check_range,
    each,
    for_some,
)

MONO = 1e-6
"""A stem is mono if the energy of its side, relative to the middle, is below this."""
ECHOES = 16
LONGEST_S = 0.02
"""Number and longest delay of the echoes that make a side from a middle. They are too early to be
audible as echoes, and few, so they cost little."""


@dataclass(frozen=True, slots=True)
class Image:
    """Drawn parameters of a stem.

    Attributes:
        factor: factor of the side of a stereo stem.
        spread: amplitude of the side of a mono stem, relative to the middle.
        seed: seed of the echoes of a mono stem.
        rate_hz: sample rate of the stem.
    """

    factor: float
    spread: float
    seed: int
    rate_hz: int

    def side(self, middle: Tensor) -> Tensor:
        """Make a side from the middle of a mono stem, both ``(samples,)``.

        It consists of echoes with random signs, and has about the same energy.
        """
        rng = np.random.default_rng(self.seed)
        side: Tensor = torch.zeros_like(middle)
        for _ in range(ECHOES):
            delay = int(rng.uniform(0, LONGEST_S) * self.rate_hz)
            sign = 1 if rng.random() < 0.5 else -1
            if delay < len(middle):
                side[delay:] += sign * middle[: len(middle) - delay]
        side /= ECHOES**0.5
        return side


@dataclass(frozen=True, slots=True, kw_only=True)
class Width(EachStem):
    """Change how wide every stem is.

    Attributes:
        low: smallest factor of the side of a stereo stem; 0 makes it mono.
        high: largest.
        spread: largest amplitude of the side of a mono stem, relative to its middle; 0: stay mono.
        probability: probability of acting on a stem.
    """

    low: float = 0.5
    high: float = 1.5
    spread: float = 0.5
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_range(self.low, self.high, "", 0, 4)
        check_probability(self.probability)
        if not 0 <= self.spread <= 2:
            raise ValueError(f"need 0 <= spread <= 2, got {self.spread}")

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[Image | None, ...]:
        """Draw the width of each stem."""
        return for_some(
            rng,
            stems,
            self.probability,
            lambda: Image(
                factor=rng.uniform(self.low, self.high),
                spread=rng.uniform(0, self.spread),
                seed=int(rng.integers(1 << 32)),
                rate_hz=rate_hz,
            ),
        )

    def apply(self, stems: Tensor, drawn: tuple[Image | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        return each(stems, drawn, _widened)


def _widened(stem: Tensor, image: Image) -> Tensor:
    """Change one stem, ``(2, samples)``."""
    middle, side = (stem[0] + stem[1]) / 2, (stem[0] - stem[1]) / 2
    if side.square().sum() > MONO * middle.square().sum():
        side = image.factor * side
    else:
        side = image.spread * image.side(middle)
    return torch.stack([middle + side, middle - side])


build = Width
