"""Global signal-to-distortion ratio, the score of both leaderboards.

Conventions
-----------
Samples before channels, as ``soundfile.read`` returns them. Energy is summed over the samples *and*
channels of the whole song before the one division, so there are no frames, no medians and no
invariance to scale. Higher is better. Silence has a score:

    silent reference, silent estimate     0 dB
    silent reference, any other estimate  far below 0 dB, lower for longer songs
    other reference, silent estimate      0 dB

Samples that are not finite have one too, as on the leaderboard; files with them are rejected
before (:mod:`demixing.evaluation.audio`):

    infinite estimate                     -inf
    NaN anywhere, infinite reference      NaN

Metric
------
    SDR = 10 log10((sum(reference²) + 1e-7) / (sum((reference - estimate)²) + 1e-7))

Samples and differences are rounded to float32, as on the leaderboard; squares and sums are float64.
So the only error is the rounding of each difference, by a factor of at most 1 ± 2^-24, which
changes the score by less than 5.2e-7 dB. Between 16-bit samples, differences are exact. The
leaderboard sums whole songs pairwise in float32, which agrees with ours to about 1e-6 dB. (A
running sum in float32 would be off by several percent after five minutes.)

Source
------
``GlobalSDR`` in AIcrowd's MDX'23 starter kit, local_evaluator/sisec21_evaluation/metrics.py.
The kit of CDX'23 is not public; results printed by its participants agree with this formula.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation.metrics import Format, Metric

DELTA = 1e-7
"""Added to both energies, as the leaderboard does; a silent stem then has a finite score."""

PIECE = 2**14
"""Values at a time: their float64 copies fit into the second-level cache."""

Audio = NDArray[np.floating[Any]]


class Meter:
    """SDR of one stem that arrives in blocks, in constant memory.

    >>> meter = Meter()
    >>> for reference in np.ones((3, 1000, 2)):
    ...     meter.update(reference, 0.9 * reference)
    >>> print(round(meter.value_db, 3))
    20.0

    Attributes:
        signal: energy of the reference so far.
        distortion: energy of the error so far.
    """

    def __init__(self) -> None:
        self.signal = 0.0
        self.distortion = 0.0

    def update(self, reference: Audio, estimate: Audio) -> None:
        """Add the next block.

        Args:
            reference: true stem, ``(samples, channels)``.
            estimate: separated stem, same shape.

        Raises:
            ValueError: the shapes differ.
        """
        validate(reference, estimate)
        true_values, values = reference.reshape(-1), estimate.reshape(-1)
        for start in range(0, len(values), PIECE):
            part = slice(start, start + PIECE)
            true_part = _as_the_leaderboard_reads(true_values[part])
            self.signal += _energy(true_part)
            with np.errstate(invalid="ignore"):  # an infinity minus an infinity is a NaN
                self.distortion += _energy(true_part - _as_the_leaderboard_reads(values[part]))

    @property
    def value_db(self) -> float:
        """Score of all blocks so far, in dB; 0 before the first."""
        return of_energies(self.signal, self.distortion)


class SongMeter:
    """SDR of all stems of a song.

    Attributes:
        stems: one meter for each.
    """

    passes = 1

    def __init__(self, song: Format) -> None:
        self.stems = [Meter() for _ in range(song.stems)]

    def update(self, references: NDArray[np.float32], estimates: NDArray[np.float32]) -> None:
        """Add the next block."""
        for meter, reference, estimate in zip(self.stems, references, estimates, strict=True):
            meter.update(reference, estimate)

    def end_pass(self) -> None:
        """Nothing is left to do."""

    def values(self) -> Mapping[str, Sequence[float]]:
        """Score of each stem in dB."""
        return {"sdr": [meter.value_db for meter in self.stems]}


METRICS = (
    Metric(
        name="sdr",
        id="sdr-mdx23",
        title="SDR",
        definition="MDX'23/CDX'23 global SDR, delta 1e-7",
        unit="dB",
        higher_is_better=True,
        silence="Silence has a score: 0 dB for a silent estimate, and far below 0 dB for any sound "
        "in the estimate of a silent reference.",
        meter=SongMeter,
    ),
)


def sdr(reference: Audio, estimate: Audio) -> NDArray[np.float64]:
    """Score each stem over the whole song.

    Args:
        reference: true stems, ``(stems, samples, channels)``.
        estimate: separated stems, same shape.

    Returns:
        dB per stem, ``(stems,)``.

    Raises:
        ValueError: the shapes differ.

    >>> truth = np.ones((1, 4, 2))
    >>> print(sdr(truth, 0.9 * truth).round(3))
    [20.]
    """
    validate(reference, estimate)
    scores_db = []
    for true_stem, stem in zip(reference, estimate, strict=True):
        meter = Meter()
        meter.update(true_stem, stem)
        scores_db.append(meter.value_db)
    return np.array(scores_db, dtype=np.float64)


def of_energies(signal: float, distortion: float) -> float:
    """Score in dB by the energies of a reference and of its error.

    >>> round(of_energies(1.0, 0.01), 3)
    20.0
    """
    ratio = (signal + DELTA) / (distortion + DELTA)
    return 10 * math.log10(ratio) if ratio else -math.inf


def validate(reference: Audio, estimate: Audio) -> None:
    """Raise unless both shapes are equal: numpy would silently broadcast mono to stereo.

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != estimate.shape:
        raise ValueError(f"{reference.shape=} and {estimate.shape=} must be equal")


def _as_the_leaderboard_reads(values: Audio) -> NDArray[np.float32]:
    """Round to float32."""
    with np.errstate(over="ignore"):  # to an infinity
        return values.astype(np.float32, copy=False)


def _energy(values: NDArray[np.float32]) -> float:
    """Sum of the squares, in float64."""
    wide = values.astype(np.float64)
    return float(wide @ wide)
