"""Scale-invariant signal-to-distortion ratio.

Conventions
-----------
Higher is better. A gain on the estimate changes nothing, except for its sign: the scale may be
negative. Energies are summed over the samples *and* channels of the whole song, so one scale
is fitted to all channels. The mean of a signal is not subtracted.

Metric
------
    target = reference (estimate · reference) / (reference · reference)
    SI-SDR = 10 log10(energy(target) / energy(estimate - target))

There is no small constant in it, so it is undefined where it is 0/0 or infinite:

    silent reference      undefined
    silent estimate       undefined
    perfect up to a gain  infinite, therefore undefined
    orthogonal            minus infinity, therefore undefined

Sums are taken of the reference r and the error d = estimate - reference, because with
target = g r, the energy of what is left is d · d - (d · r)² / (r · r), in which little cancels.

Source
------
J. Le Roux, S. Wisdom, H. Erdogan and J. R. Hershey, "SDR - half-baked or well done?", ICASSP 2019.
MSST pools channels in the same way, but adds 1e-8 per sample to both sums of the gain, and to the
result.
"""

import math
from collections.abc import Mapping

import numpy as np

from demixing.evaluation.frames import Float
from demixing.evaluation.metrics import Format, Metric
from demixing.evaluation.per_stem import PerStem

PIECE = 2**14
"""Values at a time: their float64 copies fit into the second-level cache."""

PERFECT = 1e-14
"""Where the share of the error that is left is below this, only rounding is left."""


class Meter:
    """SI-SDR of one stem, in constant memory."""

    def __init__(self, song: Format | None = None) -> None:
        self._reference = 0.0
        self._error = 0.0
        self._both = 0.0

    def update(self, reference: Float, estimate: Float) -> None:
        """Add the next block, ``(samples, channels)``."""
        true_values, values = reference.reshape(-1), estimate.reshape(-1)
        for start in range(0, len(values), PIECE):
            true_part = true_values[start : start + PIECE].astype(np.float64)
            error = values[start : start + PIECE] - true_part
            self._reference += float(true_part @ true_part)
            self._error += float(error @ error)
            self._both += float(error @ true_part)

    def end_pass(self) -> None:
        """Nothing is left to do."""

    @property
    def value_db(self) -> float | None:
        """SI-SDR so far; None where it is undefined."""
        if not self._reference:
            return None
        gain = 1 + self._both / self._reference
        target = gain * gain * self._reference
        left = self._error - self._both * self._both / self._reference
        if not target or left <= PERFECT * max(self._error, self._reference * np.finfo(float).eps):
            return None
        return 10 * math.log10(target / left)

    def values(self) -> Mapping[str, float | None]:
        """The value of the stem."""
        return {"si_sdr": self.value_db}


def song_meter(song: Format) -> PerStem:
    """A meter for all stems of a song."""
    return PerStem(song, Meter)


METRICS = (
    Metric(
        name="si_sdr",
        id="si-sdr-pooled",
        title="SI-SDR",
        definition="Le Roux et al. 2019, channels pooled, mean kept, no constant",
        unit="dB",
        higher_is_better=True,
        silence="Undefined if the reference or the estimate is silent.",
        meter=song_meter,
    ),
)
