"""Log-WMSE: the logarithm of an error that is weighted by frequency as hearing is.

Conventions
-----------
Higher is better. The error is compared with the level of the *mixture*, not of the reference, so it
is defined for silent references too. A gain on all files changes nothing.

Metric
------
    log-WMSE = mean over channels of -4 ln(mean(e²) + 1e-8)
    e = filtered(estimate - reference) / RMS(filtered(mixture)), 0 where below -68 dB

The filter is that of :mod:`demixing.evaluation.hearing`. Means are over the samples of the song,
for each channel by itself. The mixture is the sum of the references. Its level must be known before
samples can be compared with -68 dB, so the song is read twice.

Range: 73.7 (all errors below -68 dB) down to about 0 for an estimate as wrong as the mixture is
loud, and below. In a channel where the mixture is silent, the value is 73.7, whatever is estimated.

Silence
-------
A silent reference is scored as any other: 73.7 for silence, and less for a louder error.

Source
------
I. Jordal, M. Mahmoudi (Nomono), log-wmse-audio-quality 0.2, which resamples to 44.1 kHz. Here, the
filter is made for the sample rate of the song instead. MSST takes the mixture from its file.
torch-log-wmse is another definition since its version 1.0: it has no threshold, and a power mean
over channels.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation.hearing import HearingFilter
from demixing.evaluation.metrics import Format, Metric

SCALE = -4.0
SMALLEST = 1e-8
THRESHOLD = 10 ** (-68 / 20)
"""Errors below this are not audible, relative to the RMS of the mixture."""


class SongMeter:
    """Log-WMSE of all stems of a song, in constant memory."""

    passes = 2

    def __init__(self, song: Format) -> None:
        self._song = song
        self._filter = HearingFilter(song.rate_hz)
        self._mixture: NDArray[np.float64] | None = None  # RMS by channel, after the first pass
        self._energies = np.zeros(song.channels)

    def update(self, references: NDArray[np.float32], estimates: NDArray[np.float32]) -> None:
        """Add the next block, ``(stems, samples, channels)``."""
        if self._mixture is None:
            signals = references.sum(axis=0).T
        else:
            errors = np.moveaxis(estimates - references, 2, 1)
            signals = errors.reshape(-1, errors.shape[2])
        self._add(self._filter.push(signals))

    def end_pass(self) -> None:
        """Add the last samples; after the first pass, begin with the errors."""
        self._add(self._filter.finish())
        if self._mixture is None:
            self._mixture = np.sqrt(self._energies / self._song.samples)
            self._energies = np.zeros(self._song.stems * self._song.channels)
            self._filter = HearingFilter(self._song.rate_hz)

    def _add(self, filtered: NDArray[np.float32]) -> None:
        """Add the energies of filtered signals, ``(signals, samples)``."""
        if self._mixture is not None:
            limits = np.tile(self._mixture, self._song.stems)[:, None] * THRESHOLD
            filtered = np.where(np.abs(filtered) < limits, np.float32(0), filtered)
        self._energies += np.square(filtered).sum(axis=1, dtype=np.float64)

    def values(self) -> Mapping[str, Sequence[float | None]]:
        """The value of each stem."""
        assert self._mixture is not None, "read twice"
        stems = (self._energies / self._song.samples).reshape(self._song.stems, -1)
        return {"log_wmse": [_value(errors, self._mixture) for errors in stems]}


def _value(errors: NDArray[np.float64], mixture: NDArray[np.float64]) -> float:
    """The value of a stem.

    Args:
        errors: mean square error by channel.
        mixture: RMS of the mixture by channel.
    """
    relative = [
        error / level**2 if level else 0.0 for error, level in zip(errors, mixture, strict=True)
    ]
    return SCALE * math.fsum(math.log(one + SMALLEST) for one in relative) / len(relative)


METRICS = (
    Metric(
        name="log_wmse",
        id="log-wmse-0.2",
        title="log-WMSE",
        definition="log-wmse-audio-quality 0.2, against the sum of the references",
        unit="",
        higher_is_better=True,
        silence="Silence has a value: a silent reference is scored as any other, and silence "
        "estimated as silence has the highest value, 73.7.",
        meter=SongMeter,
    ),
)
