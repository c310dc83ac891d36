"""Weighted sum of losses, given as tables of a run file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demixing.errors import ConfigError
from demixing.training import losses
from demixing.training.losses import Loss


@dataclass(frozen=True, slots=True)
class Sum:
    """Weighted sum; see :class:`demixing.training.losses.Loss`.

    Attributes:
        terms: weights and losses.
    """

    terms: tuple[tuple[float, Loss], ...]

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return _added([weight * loss(estimate, stems) for weight, loss in self.terms])

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return _added([weight * loss.blocks(estimate, stems, count) for weight, loss in self.terms])

    def at(self, step: int) -> Sum:
        """See :func:`demixing.training.losses.at`."""
        terms = tuple((weight, losses.at(loss, step)) for weight, loss in self.terms)
        return dataclasses.replace(self, terms=terms)


def _added(values: list[Tensor]) -> Tensor:
    """Sum of at least one tensor, all of one shape, such as ``(batch, stems)``."""
    first, *others = values
    for value in others:
        first = first + value
    return first


def build(terms: Sequence[Mapping[str, Any]]) -> Sum:
    """Build the loss.

    Args:
        terms: tables with ``name``, ``options`` and ``weight``, which is 1 by default.

    Raises:
        ConfigError: a table is not that of a loss.
        ValueError: there are no terms, or a weight is not above 0.
    """
    if not isinstance(terms, list | tuple) or not terms:
        raise ValueError(f"terms must be a list of at least one table, got {terms!r}")
    return Sum(tuple(_weighted(term) for term in terms))


def _weighted(term: object) -> tuple[float, Loss]:
    """The weight and the loss of a table.

    Raises:
        ConfigError: it is not the table of a loss.
        ValueError: the weight is not above 0.
    """
    if not isinstance(term, Mapping):
        raise ConfigError(f"a loss is a table with name and options, got {term!r}")
    weight = term.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ValueError(f"a weight must be a number above 0, got {weight!r}")
    rest = {key: value for key, value in term.items() if key != "weight"}
    return float(weight), losses.from_table(rest)
