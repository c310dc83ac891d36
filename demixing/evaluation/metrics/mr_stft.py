"""Multi-resolution STFT distance, as auraloss computes it by default.

Conventions
-----------
A distance: lower is better, and 0 is a perfect estimate. It has no unit. Phase does not count.

Metric
------
    distance = mean over three resolutions of (convergence + mean(|ln R - ln E|))
    convergence = norm(R - E) / norm(R)

R and E are magnitudes of reference and estimate, at least 1e-4 each: sqrt(max(power, 1e-8)). Norms
and means are over channels, frames and bins of the whole song. Frames are centred, with reflected
ends, and their periodic Hann window has silence around it:

    samples in a frame  1024  2048   512
    in the window        600  1200   240
    between frames       120   240    50

No weights for frequencies, no mel bands, no scaling of the estimate.

Silence
-------
    silent reference, silent estimate     0
    silent reference, any other estimate  large, because the floor of 1e-4 is the reference
    other reference, silent estimate      about 1 + the mean level above the floor, in neper

Source
------
R. Yamamoto, E. Song and J.-M. Kim, "Parallel WaveGAN", ICASSP 2020; C. J. Steinmetz and J. D.
Reiss, "auraloss: Audio focused loss functions in PyTorch", DMRN+15, 2020:
``MultiResolutionSTFTLoss()(estimate, reference)`` of auraloss 0.4.0. Another value than MSST's
``aura_mrstft``, which uses other resolutions, 128 mel bands and A-weighting, and takes the
reference for the estimate.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from demixing.evaluation.frames import Float, Frames, hann, pairs, rows, spectra
from demixing.evaluation.metrics import Format, Metric
from demixing.evaluation.per_stem import PerStem

RESOLUTIONS = ((1024, 600, 120), (2048, 1200, 240), (512, 240, 50))
"""Samples in a frame, in its window, and between frames."""

SMALLEST_POWER = np.float32(1e-8)


class _Resolution:
    """The distance in one resolution.

    Args:
        size: samples in a frame.
        window: samples in its window.
        hop: samples between frames.
    """

    def __init__(self, size: int, window: int, hop: int) -> None:
        self.frames = Frames(size, hop, "reflect")
        self._window = hann(window, size)
        self._reference = 0.0
        self._error = 0.0
        self._logarithms = 0.0
        self._count = 0

    def add(self, frames: Float) -> None:
        """Add frames of the reference and of the estimate."""
        found = spectra(frames, self._window)
        power = np.maximum(found.real**2 + found.imag**2, SMALLEST_POWER)
        true_power, estimated_power = pairs(power)
        true_magnitude, magnitude = pairs(np.sqrt(power))
        self._reference += float(true_power.sum())
        self._error += float(np.square(true_magnitude - magnitude).sum())
        # The logarithm of a power is twice that of its root.
        self._logarithms += float(np.abs(np.log(true_power / estimated_power)).sum()) / 2
        self._count += magnitude.size

    @property
    def value(self) -> float:
        """The distance."""
        convergence: float = np.sqrt(self._error / self._reference)
        return float(convergence + self._logarithms / self._count)


class Meter:
    """Multi-resolution distance of one stem, in constant memory."""

    def __init__(self, song: Format) -> None:
        self._resolutions = [_Resolution(*one) for one in RESOLUTIONS]

    def update(self, reference: Float, estimate: Float) -> None:
        """Add the next block, ``(samples, channels)``."""
        audio = rows(reference, estimate)
        for one in self._resolutions:
            for frames in one.frames.push(audio):
                one.add(frames)

    def end_pass(self) -> None:
        """Add the last frames."""
        for one in self._resolutions:
            for frames in one.frames.finish():
                one.add(frames)

    def values(self) -> Mapping[str, float | None]:
        """The value of the stem."""
        found: Sequence[float] = [one.value for one in self._resolutions]
        return {"mr_stft": sum(found) / len(found)}


def song_meter(song: Format) -> PerStem:
    """A meter for all stems of a song."""
    return PerStem(song, Meter)


METRICS = (
    Metric(
        name="mr_stft",
        id="mr-stft-auraloss",
        title="MR-STFT",
        definition="auraloss 0.4 defaults: convergence + L1 of log magnitudes, three resolutions",
        unit="",
        higher_is_better=False,
        silence="Silence has a value: 0 for silence estimated as silence, and a large one for any "
        "sound in the estimate of a silent reference.",
        meter=song_meter,
    ),
)
