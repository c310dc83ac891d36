"""Quantiles of Student's t distribution.

What
----
The probability below ``t`` with an integer number of degrees of freedom is a finite sum of powers
of ``cos(arctan(t / sqrt(freedom)))``. The quantile is found by bisection.

Conventions
-----------
Degrees of freedom are whole numbers of at least 1. Quantiles are exact to about 1e-12.

Sources
-------
Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.7.3 and 26.7.4.
"""

import math

STEPS = 200
"""Halvings of the bracket: more than float64 can resolve."""


def probability(t: float, freedom: int) -> float:
    """Probability that Student's t is below ``t``.

    >>> print(round(probability(2.776, 4), 4))
    0.975
    """
    angle = math.atan2(t, math.sqrt(freedom))
    squared = math.cos(angle) ** 2
    # The terms of cosine's power series, every second power: odd powers for odd freedoms.
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= squared * (power + 1) / (power + 2)
    inside = math.sin(angle) * total
    if odd:
        inside = 2 / math.pi * (angle + inside)
    return (1 + inside) / 2


def quantile(share: float, freedom: int) -> float:
    """The value that Student's t stays below with a probability of ``share``.

    Args:
        share: between 0 and 1, both excluded.
        freedom: degrees of freedom, at least 1.

    Raises:
        ValueError: an argument is out of range.

    >>> print(round(quantile(0.975, 1), 4), round(quantile(0.975, 9), 4))
    12.7062 2.2622
    """
    if not 0 < share < 1 or freedom < 1:
        raise ValueError(f"expected 0 < share < 1 and freedom >= 1, got {share=} and {freedom=}")
    if share < 0.5:
        return -quantile(1 - share, freedom)
    low, high = 0.0, 1.0
    while probability(high, freedom) < share:
        high *= 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle, freedom) < share else (low, middle)
    return (low + high) / 2
