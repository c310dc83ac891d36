"""What augmentations share: checked ranges, who is acted on, and stem by stem application."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")


def check_probability(probability: float) -> None:
    """Raise unless it is one.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"need 0 <= probability <= 1, got {probability}")


def check_range(low: float, high: float, unit: str, least: float, most: float) -> None:
    """Raise unless ``low`` to ``high`` is a range within ``least`` to ``most``.

    Args:
        low: where the range begins.
        high: where it ends; may be ``low``.
        unit: how the two fields end, for the message.
        least: smallest sensible value.
        most: largest sensible value.

    Raises:
        ValueError: it is not.
    """
    if not least <= low <= high <= most:
        raise ValueError(
            f"need {least:g} <= low{unit} <= high{unit} <= {most:g}, got {low} and {high}"
        )


def linear(gain_db: float) -> float:
    """Turn decibels into a factor.

    >>> linear(20.0)
    10.0
    """
    return float(10 ** (gain_db / 20))


def for_some(
    rng: np.random.Generator, stems: int, probability: float, draw: Callable[[], T]
) -> tuple[T | None, ...]:
    """Draw a value for each stem that is acted on, None for the others.

    Args:
        rng: decides who is acted on.
        stems: how many there are.
        probability: of acting on a stem.
        draw: makes the value of one.
    """
    return tuple(draw() if rng.random() < probability else None for _ in range(stems))


def each(stems: Tensor, drawn: Sequence[T | None], change: Callable[[Tensor, T], Tensor]) -> Tensor:
    """Change those stems for which a value was drawn; silent ones stay as they are, for nothing.

    Args:
        stems: ``(stems, 2, samples)``. Not modified.
        drawn: a value for each stem, or None.
        change: maps a stem ``(2, samples)`` and its value to a stem of the same shape.
    """
    acted = {
        number: change(stems[number], value)
        for number, value in enumerate(drawn)
        if value is not None and has_signal(stems[number])
    }
    if not acted:
        return stems
    return torch.stack([acted.get(number, stem) for number, stem in enumerate(stems)])


def has_signal(audio: Tensor) -> bool:
    """Whether any sample is not 0; a few are looked at first, and mostly decide."""
    return bool(audio[..., ::997].any()) or bool(audio.any())


def scaled(stems: Tensor, factors: Sequence[Sequence[float]]) -> Tensor:
    """Multiply each channel of each stem by a number, all at once.

    Args:
        stems: ``(stems, 2, samples)``. Not modified.
        factors: for each stem one for both channels, or two.
    """
    if all(factor == 1 for row in factors for factor in row):
        return stems
    return stems * torch.tensor(factors)[..., None]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw so that each octave is equally likely."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
