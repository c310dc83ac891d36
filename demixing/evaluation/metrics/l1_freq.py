"""L1 distance of magnitude spectra, on a scale to 100, as MSST's validation defines it.

Conventions
-----------
Higher is better; 100 is a perfect estimate. The value depends on the level of the song: the same
error in a quieter song scores higher.

Metric
------
    L1Freq = 100 / (1 + 10 mean(| |R| - |E| |))

R and E are the short-time Fourier transforms of reference and estimate: frames of 2048 samples
*without a window*, 1024 samples apart, centred, with reflected ends, not normalised. The mean is
over channels, frames and bins. Phase does not count.

Silence
-------
    silent reference, silent estimate     100
    silent reference, any other estimate  lower for louder estimates; not marked in any way

Source
------
``L1Freq_metric`` in utils/metrics.py of ZFTurbo/Music-Source-Separation-Training (MSST). Its
transform has no window because torch.stft was given none. Songs of up to 1024 samples, which torch
refuses, are reflected more than once.
"""

from collections.abc import Mapping

import numpy as np

from demixing.evaluation.frames import Float, Frames, pairs, rows, spectra
from demixing.evaluation.metrics import Format, Metric
from demixing.evaluation.per_stem import PerStem

SIZE, HOP = 2048, 1024


class Meter:
    """L1 distance of one stem, in constant memory."""

    def __init__(self, song: Format) -> None:
        self._frames = Frames(SIZE, HOP, "reflect")
        self._sum = 0.0
        self._count = 0

    def update(self, reference: Float, estimate: Float) -> None:
        """Add the next block, ``(samples, channels)``."""
        for frames in self._frames.push(rows(reference, estimate)):
            self._add(frames)

    def end_pass(self) -> None:
        """Add the last frames."""
        for frames in self._frames.finish():
            self._add(frames)

    def _add(self, frames: Float) -> None:
        true_magnitudes, magnitudes = pairs(np.abs(spectra(frames)))
        self._sum += float(np.abs(true_magnitudes - magnitudes).sum())
        self._count += magnitudes.size

    def values(self) -> Mapping[str, float | None]:
        """The value of the stem."""
        return {"l1_freq": 100 / (1 + 10 * self._sum / self._count)}


def song_meter(song: Format) -> PerStem:
    """A meter for all stems of a song."""
    return PerStem(song, Meter)


METRICS = (
    Metric(
        name="l1_freq",
        id="l1-freq-msst",
        title="L1 freq",
        definition="MSST's L1Freq, frames of 2048 samples without a window, hop 1024",
        unit="of 100",
        higher_is_better=True,
        silence="Silence has a value: 100 for silence estimated as silence, and less for louder "
        "estimates of it.",
        meter=song_meter,
    ),
)
