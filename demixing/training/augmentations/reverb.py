"""Adds the reverberation of a random room to each stem: noise that decays exponentially.

Dry material (one-shots, speech, rendered instruments) lacks the reverberation of recordings. Dense
reverberation sounds like noise with the same decay, so recorded rooms are not needed. The channels
have different noise, so mono stems become wide, as in a room.
"""

import math
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
    linear,
    log_uniform,
)
from demixing.training.filtering import convolve

DAMPING = 0.7
"""Coefficient of the low-pass of the noise: air and walls absorb high frequencies."""


@dataclass(frozen=True, slots=True)
class Room:
    """Drawn parameters of a stem.

    Attributes:
        seed: seed of the noise.
        decay_s: time in which the reverberation decays by 60 dB.
        delay_s: time between the direct sound and the reverberation.
        wet_db: energy of the reverberation relative to the direct sound.
        rate_hz: sample rate of the stem.
    """

    seed: int
    decay_s: float
    delay_s: float
    wet_db: float
    rate_hz: int

    def impulse(self) -> Tensor:
        """Impulse response of the room without the direct sound, ``(2, taps)``."""
        taps = max(int(self.decay_s * self.rate_hz), 1)
        noise = np.random.default_rng(self.seed).standard_normal((2, taps), dtype=np.float32)
        noise[:, 1:] += DAMPING * noise[:, :-1]
        noise *= np.exp(np.arange(taps, dtype=np.float32) * (-3 * math.log(10) / taps))
        noise *= linear(self.wet_db) / np.sqrt(np.square(noise).sum(axis=1, keepdims=True))
        response = torch.from_numpy(noise)
        return torch.nn.functional.pad(response, (int(self.delay_s * self.rate_hz), 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverb(EachStem):
    """Add the reverberation of a random room to every stem.

    Attributes:
        low_s: shortest decay by 60 dB.
        high_s: longest decay; each octave in between is equally likely.
        low_db: softest reverberation, relative to the direct sound.
        high_db: loudest reverberation.
        most_delay_s: longest delay of the reverberation.
        probability: probability of acting on a stem.
    """

    low_s: float = 0.15
    high_s: float = 1.5
    low_db: float = -30.0
    high_db: float = -6.0
    most_delay_s: float = 0.03
    probability: float = 0.1

    def __post_init__(self) -> None:
        check_range(self.low_s, self.high_s, "_s", 0.01, 10)
        check_range(self.low_db, self.high_db, "_db", -90, 20)
        check_probability(self.probability)
        if not 0 <= self.most_delay_s <= 1:
            raise ValueError(f"need 0 <= most_delay_s <= 1, got {self.most_delay_s}")

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[Room | None, ...]:
        """Draw a room for each stem."""
        return for_some(
            rng,
            stems,
            self.probability,
            lambda: Room(
                seed=int(rng.integers(1 << 32)),
                decay_s=log_uniform(rng, self.low_s, self.high_s),
                delay_s=rng.uniform(0, self.most_delay_s),
                wet_db=rng.uniform(self.low_db, self.high_db),
                rate_hz=rate_hz,
            ),
        )

    def apply(self, stems: Tensor, drawn: tuple[Room | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        return each(stems, drawn, lambda stem, room: stem + convolve(stem, room.impulse()))


build = Reverb
