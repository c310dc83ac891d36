"""The smallest difference that a number of songs can show.

What
----
If a comparison shows nothing, either there is no difference or there are too few songs. This is the
true mean difference that a two-sided test at 5 % would find with a probability of 80 %, if songs
differed as much as these do.

Conventions
-----------
    smallest = (t(N - 1, 0.975) + t(N - 1, 0.80)) s / sqrt(N)

where s is the standard deviation of the N paired differences (divisor N - 1) and t(f, q) is the
quantile of Student's t with f degrees of freedom. It is an approximation for normal differences: by
``tools/simulate_intervals.py`` the sign-flip test finds this difference with a probability of
79 to 81 % from ten songs on, and of 60 % with six, whose test is coarse. It is that of a single
test. Holm's correction makes the stems harder to show.
Fewer than :data:`LEAST` songs can show no difference: their smallest p-value is above 5 %
(:mod:`demixing.evaluation.comparison.sign_flip`).

Sources
-------
J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition, 1988, chapter 2.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

SIGNIFICANCE = 0.05
POWER = 0.80
LEAST = 6
"""Fewest songs whose sign-flip test can be below :data:`SIGNIFICANCE`: 2 / 2^6 = 0.031."""


def smallest_difference(gains: NDArray[np.float64]) -> float | None:
    """The smallest true mean gain that would usually be shown.

    Args:
        gains: one per song, ``(songs,)``.

    Returns:
        It, in the unit of the gains; None for fewer than :data:`LEAST` songs.

    >>> print(round(smallest_difference(np.array([-1.0, 1.0] * 5)), 3))
    1.049
    """
    songs = len(gains)
    if songs < LEAST:
        return None
    freedom = songs - 1
    width = stdtrit(freedom, [1 - SIGNIFICANCE / 2, POWER]).sum()  # Student's t
    return float(width * gains.std(ddof=1) / math.sqrt(songs))
