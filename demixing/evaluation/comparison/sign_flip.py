"""Paired sign-flip test: could a mean difference be chance?

What
----
If two systems were equally good, each song's difference could as well have the other sign. The
p-value is the share of all 2^N choices of signs whose mean is at least as far from 0 as the
observed one. It needs no normal distribution, only that under the null hypothesis the differences
are symmetric around 0 and the songs independent.

Conventions
-----------
Two-sided; the statistic is the mean. Up to :data:`EXACT` songs all choices are counted, so the
smallest possible value is 2 / 2^N: 0.0625 for five songs, which can therefore never be below 0.05,
and 0.031 for six. For more songs, signs are drawn :data:`FLIPS` times with a fixed seed, and the
observed signs count as one more draw: (extreme + 1) / (FLIPS + 1), which is never 0. Songs without
a difference change nothing. If no song has one, p = 1.

Sources
-------
R. A. Fisher, The Design of Experiments, 1935, section 21.
B. Phipson and G. K. Smyth, Permutation P-values Should Never Be Zero, Statistical Applications in
Genetics and Molecular Biology 9 (2010), article 39.
"""

import numpy as np
from numpy.typing import NDArray

EXACT = 20
"""Most songs for which all signs are tried: half a million sums, in milliseconds."""

FLIPS = 100_000
BLOCK = 5_000
"""Draws at a time, which bounds the memory."""

SEED = 0
ROUNDING = 1e-9
"""Sums that differ by less than this share of the largest one are equal."""


def p_value(gains: NDArray[np.float64], flips: int = FLIPS) -> float:
    """Two-sided p-value of the mean gain.

    Args:
        gains: one per song, ``(songs,)``.
        flips: number of random draws above :data:`EXACT` songs.

    >>> print(p_value(np.array([1.0, 2.0, 3.0, 4.0, 5.0])))
    0.0625
    >>> print(p_value(np.zeros(3)))
    1.0
    """
    kept = np.abs(gains[gains != 0])
    largest = float(kept.sum())
    least = abs(float(gains.sum())) - ROUNDING * largest
    if len(kept) <= EXACT:
        return float(np.mean(np.abs(all_sums(kept)) >= least))
    return (_extreme_draws(kept, least, flips) + 1) / (flips + 1)


def all_sums(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the sizes with all signs but the first one's, which symmetry gives.

    >>> print(np.sort(all_sums(np.array([1.0, 2.0]))))
    [-1.  3.]
    """
    sums = sizes[:1] if len(sizes) else np.zeros(1)
    for size in sizes[1:]:
        sums = np.concatenate([sums + size, sums - size])
    return sums


def _extreme_draws(sizes: NDArray[np.float64], least: float, flips: int) -> int:
    """Number of random signs whose sum is at least as far from 0 as ``least``."""
    rng = np.random.default_rng(SEED)
    found = 0
    for start in range(0, flips, BLOCK):
        draws = min(BLOCK, flips - start)
        signs = rng.integers(0, 2, (draws, len(sizes)), dtype=np.int8) * 2 - 1
        found += int((np.abs(signs @ sizes) >= least).sum())
    return found
