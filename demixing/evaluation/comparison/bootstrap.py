"""Confidence interval of a mean, by the bootstrap.

What
----
The gains of N songs are drawn N times with replacement, and averaged. Of 10,000 such means the
interval has the middle 95 %, and a little more: see below.

Conventions
-----------
The songs are the units: one gain each. The seed is fixed, so equal gains have equal intervals.

The plain percentile bootstrap takes the quantiles 2.5 % and 97.5 % of the resampled means. For few
songs that is too narrow, for two reasons: a resample varies like the spread with the divisor N
instead of N - 1, and the quantiles are the normal distribution's instead of Student's. So the
quantiles are moved outwards, to

    share = Phi(-sqrt(N / (N - 1)) t(N - 1, 0.975))    and    1 - share

where Phi is the normal distribution function and t(f, q) is the quantile of Student's t with f
degrees of freedom. If the resampled means were normal, the interval would be Student's. N = 5 gives
0.1 %, 10 gives 0.9 %, 50 gives 2.1 %. These *expanded* percentiles cover better than plain ones
and than BCa, whose estimate of the skewness is too noisy with few songs: ``tools/
simulate_intervals.py`` prints how often each contains the true mean.

Sources
-------
B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 14.
T. C. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69
(2015), pages 371 to 386.
"""

import functools
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

RESAMPLES = 10_000
LEVEL = 0.95
"""Confidence level of the intervals."""

SEED = 0
LEAST = 2
"""Fewest songs that have an interval: resamples of one song are all equal."""


def interval(gains: NDArray[np.float64]) -> tuple[float, float] | None:
    """Confidence interval of the mean gain.

    Args:
        gains: one per song, ``(songs,)``.

    Returns:
        Its ends; None for fewer than :data:`LEAST` songs.

    >>> print(interval(np.array([1.0, 1.0, 1.0])))
    (1.0, 1.0)
    """
    songs = len(gains)
    if songs < LEAST:
        return None
    share = outer_share(songs)
    low, high = np.quantile(resampled_means(gains), [share, 1 - share])
    return float(low), float(high)


def resampled_means(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of resamples, ``(RESAMPLES,)``."""
    middle = gains.mean()  # equal gains then have an interval without rounding errors
    return np.asarray(middle + draws(len(gains)) @ (gains - middle) / len(gains))


@functools.lru_cache(maxsize=8)
def draws(songs: int) -> NDArray[np.float64]:
    """How often each resample contains each song, ``(RESAMPLES, songs)``."""
    shares = np.full(songs, 1 / songs)
    counts = np.random.default_rng(SEED).multinomial(songs, shares, size=RESAMPLES)
    return counts.astype(np.float64)


def outer_share(songs: int) -> float:
    """Share of the resampled means below the interval, and above it.

    >>> print(round(outer_share(5), 4), round(outer_share(1000), 4))
    0.001 0.0248
    """
    width = float(stdtrit(songs - 1, (1 + LEVEL) / 2))  # Student's t
    return NormalDist().cdf(-math.sqrt(songs / (songs - 1)) * width)
