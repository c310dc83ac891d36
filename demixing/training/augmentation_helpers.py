"""Helpers for augmentations: checks of options, random choices, and application stem by stem."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


class EachStem:
    """Base of augmentations that draw one value for each stem and change no stem by another."""

    __slots__ = ()

    def apart(self, drawn: tuple[Any, ...], stems: int) -> list[Any]:
        """See :class:`demixing.training.augmentations.Apart`."""
        return [drawn[number : number + 1] for number in range(stems)]


class AllAlike:
    """Base of augmentations that draw one value for all stems and change no stem by another."""

    __slots__ = ()

    def apart(self, drawn: Any, stems: int) -> list[Any]:
        """See :class:`demixing.training.augmentations.Apart`."""
        return [drawn] * stems


def check_probability(probability: float) -> None:
    """Check a probability.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"need 0 <= probability <= 1, got {probability}")


def check_range(low: float, high: float, unit: str, least: float, most: float) -> None:
    """Check that ``low`` to ``high`` is a range within ``least`` to ``most``.

    Args:
        low: lower end of the range.
        high: upper end of the range, at least ``low``.
        unit: suffix of the two fields, for the message.
        least: smallest allowed value.
        most: largest allowed value.

    Raises:
        ValueError: it is not.
    """
    if not least <= low <= high <= most:
        raise ValueError(
            f"need {least:g} <= low{unit} <= high{unit} <= {most:g}, got {low} and {high}"
        )


def linear(gain_db: float) -> float:
    """Convert decibels to a linear factor.

    >>> linear(20.0)
    10.0
    """
    return float(10 ** (gain_db / 20))


def for_some(
    rng: np.random.Generator, stems: int, probability: float, draw: Callable[[], T]
) -> tuple[T | None, ...]:
    """Draw a value for each stem that an augmentation changes, and None for the others.

    Args:
        rng: source of all randomness.
        stems: number of stems.
        probability: probability of acting on a stem.
        draw: draws the value of a stem.
    """
    return tuple(draw() if rng.random() < probability else None for _ in range(stems))


def each(stems: Tensor, drawn: Sequence[T | None], change: Callable[[Tensor, T], Tensor]) -> Tensor:
    """Change the stems for which a value was drawn, except silent ones.

    Args:
        stems: ``(stems, 2, samples)``. Not modified.
        drawn: a value for each stem, or None.
        change: maps a stem ``(2, samples)`` and its value to a stem of the same shape.

    Returns:
        ``(stems, 2, samples)``.
    """
    acted = {
        number: change(stems[number], value)
        for number, value in enumerate(drawn)
        if value is not None and has_signal(stems[number])
    }
    if not acted:
        return stems
    if len(stems) == 1:
        return acted[0][None]  # without a copy
    return torch.stack([acted.get(number, stem) for number, stem in enumerate(stems)])


def has_signal(audio: Tensor) -> bool:
    """Whether any sample of ``(..., samples)`` is not 0; checks a few first, which is faster."""
    return bool(audio[..., ::997].any()) or bool(audio.any())


def scaled(stems: Tensor, factors: Sequence[Sequence[float]]) -> Tensor:
    """Multiply each channel of each stem by a factor.

    Args:
        stems: ``(stems, 2, samples)``. Not modified.
        factors: factors for each stem, one for both channels, or one for each.

    Returns:
        ``(stems, 2, samples)``.
    """
    if all(factor == 1 for row in factors for factor in row):
        return stems
    return stems * torch.tensor(factors)[..., None]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a value from ``low`` to ``high`` such that each octave is equally likely."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
