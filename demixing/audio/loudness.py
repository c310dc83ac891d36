"""Integrated loudness of a song in LUFS, by ITU-R BS.1770-4, measured block by block.

A song is filtered (*K-weighting*: a high shelf, then a high pass), and the power of its channels is
summed in windows of 400 ms, which start every 100 ms. The loudness of a power p is

    -0.691 + 10 log10(p)  LUFS.

The integrated loudness is that of the mean power of all windows that are louder than -70 LUFS and
also louder than 10 LU below the mean of those: silence and pauses do not count.

The coefficients are those of the package pyloudnorm, whose figures other programs quote: biquads of
the Audio EQ Cookbook. Those of the standard differ by less than 0.05 dB at any frequency above
20 Hz. Windows at the end of a song that are not complete count if at least half of their last
100 ms is there, as in pyloudnorm.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt
from torch import Tensor

from demixing import audio

STEP_S = 0.1
"""Distance of two windows in seconds."""

STEPS = 4
"""Length of a window in steps."""

ABSOLUTE_LUFS = -70.0
RELATIVE_LU = 10.0
OFFSET = -0.691
"""Loudness of a power of 1: a sine at 997 Hz and full scale in one channel has -3.01 LUFS."""

SHELF_HZ, SHELF_DB, SHELF_Q = 1500.0, 4.0, math.sqrt(0.5)
PASS_HZ, PASS_Q = 38.0, 0.5


class LoudnessMeter:
    """Measures each stereo pair of a song that arrives in blocks.

    Both copies of a mono channel count as one. Memory: 80 bytes per second and pair, for the powers
    that the gate compares at the end.

    Args:
        sample_rate_hz: of the song.
        channels: of the song, see :func:`demixing.audio.pairs_of`.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate_hz = sample_rate_hz
        self._pairs = audio.pairs_of(channels)
        self._filter = k_weighting(sample_rate_hz)
        self._state = np.zeros((2, channels, 2))
        self._samples = 0
        self._steps = np.zeros((len(self._pairs), 0))  # energies of complete steps
        self._energy = np.zeros(len(self._pairs))  # of the step that is not complete

    def push(self, block: Tensor) -> None:
        """Add the next samples, ``(channels, samples)``."""
        if not block.shape[-1]:
            return
        weighted, self._state = sosfilt(self._filter, block.numpy(), zi=self._state)
        start, self._samples = self._samples, self._samples + block.shape[-1]
        first = self._steps.shape[1]
        edges = [start]
        while (edge := self._edge(first + len(edges))) <= self._samples:
            edges.append(edge)
        # The last sum is that of the step that is not complete, which may be empty.
        power = np.zeros((len(weighted), block.shape[-1] + 1))
        with np.errstate(over="ignore", invalid="ignore"):  # songs are checked elsewhere
            np.square(weighted, out=power[:, :-1])
            sums = np.add.reduceat(power, [edge - start for edge in edges], axis=1)
        energies = np.stack([sums[list({*pair})].sum(axis=0) for pair in self._pairs])
        energies[:, 0] += self._energy
        self._steps = np.concatenate([self._steps, energies[:, :-1]], axis=1)
        self._energy = energies[:, -1]

    def lufs(self) -> tuple[float, ...]:
        """Loudness of each pair so far; minus infinity for silence and for less than 400 ms."""
        steps = np.concatenate([self._steps, self._energy[:, None]], axis=1)
        if self._samples < STEPS * STEP_S * self._rate_hz:
            return (-math.inf,) * len(self._pairs)
        count = round((self._samples / self._rate_hz - STEPS * STEP_S) / STEP_S) + 1
        short = max(count + STEPS - 1 - steps.shape[1], 0)
        steps = np.pad(steps, ((0, 0), (0, short)))[:, : count + STEPS - 1]
        windows = np.lib.stride_tricks.sliding_window_view(steps, STEPS, axis=1).sum(axis=-1)
        return tuple(_gated(pair / (STEPS * STEP_S * self._rate_hz)) for pair in windows)

    def _edge(self, step: int) -> int:
        """First sample of a step."""
        return int(STEPS * STEP_S * (step / STEPS) * self._rate_hz)


def k_weighting(sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the two biquads of the weighting, for :func:`scipy.signal.sosfilt`, ``(2, 6)``.

    Source: R. Bristow-Johnson, "Cookbook formulae for audio EQ biquad filter coefficients".
    """
    gain = 10 ** (SHELF_DB / 40)
    cosine, width = _angle(SHELF_HZ, SHELF_Q, sample_rate_hz)
    high, low, slope = gain + 1, gain - 1, 2 * math.sqrt(gain) * width
    shelf = [
        gain * (high + low * cosine + slope),
        -2 * gain * (low + high * cosine),
        gain * (high + low * cosine - slope),
        high - low * cosine + slope,
        2 * (low - high * cosine),
        high - low * cosine - slope,
    ]
    cosine, width = _angle(PASS_HZ, PASS_Q, sample_rate_hz)
    edge = (1 + cosine) / 2
    high_pass = [edge, -2 * edge, edge, 1 + width, -2 * cosine, 1 - width]
    return np.array([np.array(section) / section[3] for section in (shelf, high_pass)])


def _angle(hz: float, quality: float, sample_rate_hz: int) -> tuple[float, float]:
    """Return the cosine of a filter's angular frequency, and its sine over twice the quality."""
    omega = 2 * math.pi * hz / sample_rate_hz
    return math.cos(omega), math.sin(omega) / (2 * quality)


def _gated(power: NDArray[np.float64]) -> float:
    """Return the loudness of the windows of one pair, with both gates."""
    loud = power[_lufs(power) >= ABSOLUTE_LUFS]
    if not loud.size:
        return -math.inf
    loud = loud[_lufs(loud) > _lufs(loud.mean()) - RELATIVE_LU]
    return float(_lufs(loud.mean()))


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert power to loudness."""
    return OFFSET + 10 * np.log10(np.maximum(power, 1e-30))
