"""Bleedless and fullness: too much and too little energy in mel bands, as MSST defines them.

Conventions
-----------
Both are higher for better estimates, and 100 is perfect. They must be read together: a louder
estimate is fuller and bleeds more. A gain on the estimate changes both, as does the song's loudest
band, which sets the floor.

Metric
------
    D         = E - R                      levels of estimate and reference in dB, per mel band
    bleedless = 100 / (1 + mean of D where D > 0)
    fullness  = 100 / (1 - mean of D where D < 0)

The mean is over those channels, bands and frames alone where D has that sign; without any, it is 0.

Magnitudes come from frames of 4096 samples with a Hann window, 1024 samples apart, centred, with
silence around the song. 512 triangular mel filters (Slaney's, to half the sample rate) sum
magnitudes, not powers. A level is 20 log10(max(magnitude, 1e-10)). Levels of the reference are
raised to at least 80 dB below its loudest one, over the whole song and all channels; those of the
estimate likewise to 80 dB below its own loudest one.

So the song is read twice: first for the loudest levels.

Silence
-------
    silent reference, silent estimate     100 and 100
    silent reference, any other estimate  bleedless below 1, fullness 100
    other reference, silent estimate      bleedless 100, fullness below 1

Source
------
``bleed_full`` in utils/metrics.py of ZFTurbo/Music-Source-Separation-Training (MSST). It takes any
song for one of 44.1 kHz; here, the mel filters know the sample rate. Where its floors differ,
because the loudest levels do, bands without sound count with the difference of the floors. The
lowest filters are narrower than the distance of two bins, so that some are always empty.
"""

from collections.abc import Mapping

import numpy as np

from demixing.evaluation.frames import Float, Frames, hann, pairs, rows, spectra
from demixing.evaluation.mel import MelBank
from demixing.evaluation.metrics import Format, Metric
from demixing.evaluation.per_stem import PerStem

SIZE, HOP = 4096, 1024
BANDS = 512
SMALLEST = np.float32(1e-10)
RANGE_DB = 80
WINDOW = hann(SIZE, SIZE)


class Meter:
    """Bleedless and fullness of one stem, in constant memory."""

    def __init__(self, song: Format) -> None:
        self._bank = MelBank(song.rate_hz, SIZE, BANDS)
        self._frames = Frames(SIZE, HOP, "constant")
        self._loudest = [SMALLEST, SMALLEST]  # magnitude of reference and estimate
        self._first = True
        self._above = _Mean()
        self._below = _Mean()

    def update(self, reference: Float, estimate: Float) -> None:
        """Add the next block, ``(samples, channels)``."""
        for frames in self._frames.push(rows(reference, estimate)):
            self._add(frames)

    def end_pass(self) -> None:
        """Add the last frames; after the first pass, begin again."""
        for frames in self._frames.finish():
            self._add(frames)
        self._first = False
        self._frames = Frames(SIZE, HOP, "constant")

    def _add(self, frames: Float) -> None:
        bands = pairs(self._bank(np.abs(spectra(frames, WINDOW))))
        if self._first:
            loudest = zip(self._loudest, bands, strict=True)
            self._loudest = [max(before, side.max()) for before, side in loudest]
            return
        true_db, estimated_db = (
            np.maximum(_db(side), _db(loudest) - RANGE_DB)
            for side, loudest in zip(bands, self._loudest, strict=True)
        )
        excess_db = estimated_db - true_db
        self._above.add(excess_db[excess_db > 0])
        self._below.add(excess_db[excess_db < 0])

    def values(self) -> Mapping[str, float | None]:
        """Both values of the stem."""
        return {
            "bleedless": 100 / (1 + self._above.value),
            "fullness": 100 / (1 - self._below.value),
        }


class _Mean:
    """A running mean; 0 without values."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, values: Float) -> None:
        self._sum += float(values.sum(dtype=np.float64))
        self._count += values.size

    @property
    def value(self) -> float:
        return self._sum / self._count if self._count else 0.0


def _db(magnitude: Float | np.float32) -> Float:
    """Level in dB."""
    return np.asarray(20 * np.log10(np.maximum(magnitude, SMALLEST)), dtype=np.float32)


def song_meter(song: Format) -> PerStem:
    """A meter for all stems of a song."""
    return PerStem(song, Meter, passes=2)


METRICS = (
    Metric(
        name="bleedless",
        id="bleedless-msst",
        title="Bleedless",
        definition="MSST's bleedless, 512 mel bands, 80 dB",
        unit="of 100",
        higher_is_better=True,
        silence="Silence has a value: below 1 for any sound in the estimate of a silent reference, "
        "and 100 for a silent estimate.",
        meter=song_meter,
    ),
    Metric(
        name="fullness",
        id="fullness-msst",
        title="Fullness",
        definition="MSST's fullness, 512 mel bands, 80 dB",
        unit="of 100",
        higher_is_better=True,
        silence="Silence has a value: 100 for any estimate of a silent reference, and below 1 for "
        "a silent estimate of sound.",
        meter=song_meter,
    ),
)
