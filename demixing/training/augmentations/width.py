"""Stereo stems narrower or wider; mono ones, as speech is, get a width at all.

A stem is its middle, (left + right) / 2, and its side, (left - right) / 2. Only the side is
changed, so what a mono loudspeaker plays stays the same. Speech corpora are mono: a network that
was trained on them alone takes "exactly in the middle" for a property of speech.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demixing.training.augmentation_helpers import check_probability, check_range, each, for_some

MONO = 1e-6
"""Energy of the side relative to the middle, below which a stem is mono."""
ECHOES = 16
LONGEST_S = 0.02
"""Echoes that make a side out of a middle: too early to be heard as such, sparse so that they cost
little."""


@dataclass(frozen=True, slots=True)
class Image:
    """What is drawn for a stem.

    Attributes:
        factor: of the side, if there is one.
        spread: amplitude of the side relative to the middle, if there was none.
        seed: of the echoes that it is made of.
        rate_hz: sample rate of the stem.
    """

    factor: float
    spread: float
    seed: int
    rate_hz: int

    def side(self, middle: Tensor) -> Tensor:
        """Make a side of a mono stem: echoes with random signs, together as strong as it is."""
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
class Width:
    """Change how wide every stem is.

    Attributes:
        low: smallest factor of the side of a stereo stem; 0 makes it mono.
        high: largest.
        spread: most that a mono stem gets of a side, relative to its middle; 0 leaves it mono.
        probability: of acting on a stem.
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
        """Choose how wide each stem is to be."""
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
