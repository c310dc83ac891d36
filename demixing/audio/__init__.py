"""Audio in memory: shapes, checks and channels.

Conventions
-----------
Inside the package, audio is a ``float32`` tensor, channels before samples, full scale at ±1:

    song      (channels, samples)             as in the file
    pairs     (groups, 2, samples)            input of separators, always stereo
    stems     (stems, channels, samples)      length, channels and rate of the song

Only :mod:`my_submission.predictor` sees AIcrowd's ``(samples, channels)`` arrays.

More than two channels
----------------------
Channels that belong together are separated as a stereo pair, every other channel as mono. The order
is that of WAVE files: front left, front right, centre, LFE, back, side. There is no standard
order for nine or more channels, so each one is mono.
"""

import math
import operator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demixing.errors import SongError

PAIRS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((0, 1),),
    3: ((0, 1), (2, 2)),
    4: ((0, 1), (2, 3)),
    5: ((0, 1), (2, 2), (3, 4)),
    6: ((0, 1), (2, 2), (3, 3), (4, 5)),
    7: ((0, 1), (2, 2), (3, 3), (4, 4), (5, 6)),
    8: ((0, 1), (2, 2), (3, 3), (4, 5), (6, 7)),
}
"""Stereo pairs by number of channels; a channel paired with itself is mono."""

MAX_CHANNELS = 16
"""More would exceed the grader's memory: a mono channel costs as much as a pair."""

MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 192_000

MAX_LEVEL = 1e6
"""120 dB above full scale is not audio; much more, and squares would overflow float32."""

BLOCK = 1 << 18
"""Samples per block when reading: about 6 s."""


def check_format(sample_rate_hz: int, channels: int) -> None:
    """Raise unless songs in this format can be separated.

    Raises:
        SongError: the rate or the number of channels is out of range.
    """
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise SongError(
            f"expected a sample rate of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, got {sample_rate_hz}; "
            "resample the song first"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise SongError(
            f"expected 1 to {MAX_CHANNELS} channels, got {channels}; if these are samples, "
            "transpose the array: (samples, channels) for numpy, (channels, samples) for torch"
        )


def whole_rate(sample_rate: object) -> int:
    """Return a sample rate as an int.

    Raises:
        SongError: it is not a whole number.
    """
    if isinstance(sample_rate, float | np.floating) and sample_rate.is_integer():
        return int(sample_rate)
    try:
        return operator.index(sample_rate)  # type: ignore[arg-type]
    except TypeError as error:
        raise SongError(
            f"expected the sample rate to be a whole number of Hz, got {sample_rate!r}"
        ) from error


def check_finite(block: Tensor, start: int) -> None:
    """Raise if a sample of ``(channels, samples)`` is NaN, infinite or absurdly large.

    Args:
        block: part of a song.
        start: index of the block's first sample in the song.

    Raises:
        SongError: names the first bad sample and its channel, both counted from 0.
    """
    if not block.numel():
        return
    low, high = map(float, torch.aminmax(block))
    if not (low >= -MAX_LEVEL and high <= MAX_LEVEL):  # comparisons with NaN are false
        bad = ~(block.abs() <= MAX_LEVEL)
        sample = int(bad.any(dim=0).nonzero()[0])
        channel = int(bad[:, sample].nonzero()[0])
        raise SongError(
            f"expected samples with full scale at 1, got {block[channel, sample].item():g} at "
            f"sample {start + sample} of channel {channel}; repair the file or export it again"
        )


def finite(signal: Tensor) -> bool:
    """Whether no sample is a NaN or an infinity.

    One pass: such samples make the sum one, too. Large samples may do so as well, so then each is
    looked at.

    >>> finite(torch.tensor([1.0, math.inf])), finite(torch.full((9,), 1e38))
    (False, True)
    """
    return math.isfinite(float(signal.sum())) or bool(torch.isfinite(signal).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """Format of a song of unknown length.

    Attributes:
        sample_rate_hz: of the song.
        channels: of the song.
    """

    sample_rate_hz: int
    channels: int

    @property
    def groups(self) -> int:
        """Number of stereo pairs, see :func:`pairs_of`."""
        return len(pairs_of(self.channels))


@dataclass(frozen=True, slots=True, kw_only=True)
class SongFormat(AudioFormat):
    """Format of a song, as its file says.

    Attributes:
        frames: length of the song. Only for progress and file sizes: damaged files are shorter, and
            for some formats it is an estimate.
    """

    frames: int

    @property
    def seconds(self) -> float:
        """Length of the song."""
        return self.frames / self.sample_rate_hz


def pairs_of(channels: int) -> tuple[tuple[int, int], ...]:
    """Group the channels of a song into stereo pairs; see the module's docstring.

    >>> pairs_of(6)
    ((0, 1), (2, 2), (3, 3), (4, 5))
    """
    return PAIRS.get(channels) or tuple((channel, channel) for channel in range(channels))


def to_pairs(song: Tensor) -> Tensor:
    """Arrange ``(channels, samples)`` as stereo pairs ``(groups, 2, samples)``; may be a view."""
    pairs = pairs_of(song.shape[0])
    return song[None] if pairs == ((0, 1),) else song[torch.tensor(pairs)]


def from_pairs(pairs: Tensor, channels: int) -> Tensor:
    """Inverse of :func:`to_pairs`, for any output that was separated in pairs.

    Args:
        pairs: ``(groups, ..., 2, samples)``.
        channels: of the song. The two copies of a mono channel are averaged.

    Returns:
        ``(..., channels, samples)``; may be a view.

    >>> song = torch.randn(6, 10)
    >>> torch.equal(from_pairs(to_pairs(song), 6), song)
    True
    """
    if pairs_of(channels) == ((0, 1),):
        return pairs[0]
    result = pairs.new_empty(*pairs.shape[1:-2], channels, pairs.shape[-1])
    for pair, (left, right) in zip(pairs, pairs_of(channels), strict=True):
        if left == right:
            result[..., left, :] = pair.mean(dim=-2)
        else:
            result[..., left, :] = pair[..., 0, :]
            result[..., right, :] = pair[..., 1, :]
    return result
