"""Global signal-to-distortion ratio, the score of both leaderboards.

Conventions
-----------
Audio is float64, samples before channels as ``soundfile.read`` returns it. Energy is summed
over the samples *and* channels of the whole song before the one division, so there are no
frames, no medians and no invariance to scale. Higher is better. Silence has a score:

    silent reference, silent estimate     0 dB
    silent reference, any other estimate  far below 0 dB, lower for longer songs
    other reference, silent estimate      0 dB

Samples that are not finite have one too, as on the leaderboard; files with them are rejected
before (:mod:`demixing.evaluation.audio`):

    infinite estimate                     -inf
    NaN anywhere, infinite reference      NaN

Samples are rounded to float32 first, as on the leaderboard. Sums are float64: a running sum in
float32 is off by several percent after five minutes. The leaderboard sums whole songs pairwise in
float32, which agrees with ours to about 1e-6 dB.

Source
------
``GlobalSDR`` in AIcrowd's MDX'23 starter kit, local_evaluator/sisec21_evaluation/metrics.py.
The kit of CDX'23 is not public; results printed by its participants agree with this formula.
"""

import math

import numpy as np
from numpy.typing import NDArray

TITLE = "SDR"
DEFINITION = "MDX'23/CDX'23 global SDR, delta 1e-7"

DELTA = 1e-7
"""Added to both energies, as the leaderboard does; a silent stem then has a finite score."""


class Meter:
    """SDR of one stem that arrives in blocks, in constant memory.

    >>> meter = Meter()
    >>> for reference in np.ones((3, 1000, 2)):
    ...     meter.update(reference, 0.9 * reference)
    >>> print(round(meter.value_db, 3))
    20.0
    """

    def __init__(self) -> None:
        self._signal = 0.0
        self._distortion = 0.0

    def update(self, reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> None:
        """Add the next block.

        Args:
            reference: true stem, ``(samples, channels)``.
            estimate: separated stem, same shape.

        Raises:
            ValueError: the shapes differ.
        """
        _check_shapes(reference, estimate)
        true_stem, stem = _as_the_leaderboard_reads(reference), _as_the_leaderboard_reads(estimate)
        self._signal += float(np.square(true_stem).sum())
        with np.errstate(invalid="ignore"):  # an infinity minus an infinity is a NaN
            self._distortion += float(np.square(true_stem - stem).sum())

    @property
    def value_db(self) -> float:
        """Score of all blocks so far, in dB; 0 before the first."""
        ratio = (self._signal + DELTA) / (self._distortion + DELTA)
        return 10 * math.log10(ratio) if ratio else -math.inf


def sdr(reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> NDArray[np.float64]:
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
    _check_shapes(reference, estimate)
    scores_db = []
    for true_stem, stem in zip(reference, estimate, strict=True):
        meter = Meter()
        meter.update(true_stem, stem)
        scores_db.append(meter.value_db)
    return np.array(scores_db, dtype=np.float64)


def _check_shapes(reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> None:
    """Raise unless both shapes are equal: numpy would silently broadcast mono to stereo."""
    if reference.shape != estimate.shape:
        raise ValueError(f"{reference.shape=} and {estimate.shape=} must be equal")


def _as_the_leaderboard_reads(audio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round samples, ``(samples, channels)``, to float32; return them as float64."""
    with np.errstate(over="ignore"):  # to an infinity
        return audio.astype(np.float32).astype(np.float64)
