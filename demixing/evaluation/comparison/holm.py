"""Holm's correction of several p-values.

What
----
Of 20 tests without any difference, one is expected below 0.05. Holm's procedure keeps the
probability of even one such error at 5 %, whether or not the tests depend on each other, and
rejects everything that Bonferroni's does.

Conventions
-----------
With p-values in ascending order, p(1) to p(m), the adjusted value of p(i) is the largest of
min(1, (m - j + 1) p(j)) over all j up to i. Compare it with 0.05 as usual.

Sources
-------
S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics
6 (1979), pages 65 to 70.
"""

from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order of the arguments.

    >>> adjusted([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    result = [1.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        result[index] = largest
    return result
