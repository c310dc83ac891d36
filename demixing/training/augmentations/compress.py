"""Compresses the dynamics of each stem: loud parts become softer relative to soft ones.

Most released music was compressed, and most rendered music was not.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

from demixing.training.augmentation_helpers import (
    EachStem,
    check_probability,
    check_range,
    each,
    for_some,
)

STEP_S = 0.005
"""Interval at which level and gain are computed; the gain is interpolated in between."""
QUIET = 1e-10
"""Power below which sound counts as silence, relative to the mean."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Drawn parameters of a stem.

    Attributes:
        threshold_db: level, relative to the mean power of the stem, above which gain is reduced.
        ratio: dB of input level per dB of output level, above the threshold.
        release_s: time constant of the recovery of the gain.
        rate_hz: sample rate of the stem.
    """

    threshold_db: float
    ratio: float
    release_s: float
    rate_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compress(EachStem):
    """Reduce the dynamics of every stem and keep its power.

    Attributes:
        low_db: lowest threshold, relative to the mean power.
        high_db: highest.
        most_ratio: largest ratio; the smallest is 1, and each octave is equally likely.
        low_s: shortest release.
        high_s: longest.
        probability: probability of acting on a stem.
    """

    low_db: float = -12.0
    high_db: float = 6.0
    most_ratio: float = 6.0
    low_s: float = 0.03
    high_s: float = 0.4
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, "_db", -60, 40)
        check_range(self.low_s, self.high_s, "_s", 0.001, 10)
        check_probability(self.probability)
        if not 1 <= self.most_ratio <= 100:
            raise ValueError(f"need 1 <= most_ratio <= 100, got {self.most_ratio}")

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[Setting | None, ...]:
        """Draw the settings of each stem's compressor."""
        return for_some(
            rng,
            stems,
            self.probability,
            lambda: Setting(
                threshold_db=rng.uniform(self.low_db, self.high_db),
                ratio=float(self.most_ratio ** rng.random()),
                release_s=rng.uniform(self.low_s, self.high_s),
                rate_hz=rate_hz,
            ),
        )

    def apply(self, stems: Tensor, drawn: tuple[Setting | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        return each(stems, drawn, _compressed)


def _compressed(stem: Tensor, setting: Setting) -> Tensor:
    """Compress one stem, ``(2, samples)``; both channels alike, which keeps the stereo image."""
    samples = stem.shape[-1]
    step = max(int(STEP_S * setting.rate_hz), 1)
    power = stem.square().mean(dim=0)
    blocks = -(-samples // step)
    levels = torch.nn.functional.pad(power, (0, blocks * step - samples)).view(blocks, step)
    mean = float(power.mean())
    level_db = 10 * np.log10(levels.mean(dim=1).numpy() / mean + QUIET)
    over_db = np.maximum(level_db - setting.threshold_db, 0)
    # Instant attack, since the blocks are short, and exponential release.
    keep = math.exp(-step / (setting.release_s * setting.rate_hz))
    smooth_db = np.maximum(over_db, lfilter([1 - keep], [1, -keep], over_db))
    gain = 10 ** (-smooth_db * (1 - 1 / setting.ratio) / 20)
    result = stem * torch.from_numpy(_between(gain, step)[:samples])
    return result * (mean / result.square().mean().clamp(min=1e-30)).sqrt()


def _between(gain: NDArray[np.float64], step: int) -> NDArray[np.float32]:
    """Interpolate values ``(blocks,)`` from the middles of blocks to all samples.

    The same as :func:`numpy.interp`, which searches the block of each sample.

    >>> [round(float(value), 2) for value in _between(np.array([0.0, 1.0]), 4)]
    [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    half = (step + 1) // 2
    curve = np.empty(len(gain) * step, np.float32)
    last = len(curve) - (step - half)
    curve[:half], curve[last:] = gain[0], gain[-1]
    places = np.arange(step) + half - step / 2
    slopes = np.diff(gain)[:, None] / step
    rows = curve[half:last].reshape(-1, step)
    np.add(slopes * places, gain[:-1, None], out=rows, casting="same_kind")
    return curve


build = Compress
