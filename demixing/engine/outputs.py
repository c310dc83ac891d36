"""The outputs of a song: its stems, or what a narrowed recipe makes from them."""

import torch
from torch import Tensor

from demixing.recipes import narrowing
from demixing.recipes.recipe import Recipe


def chosen(recipe: Recipe, signals: Tensor) -> Tensor:
    """Choose the outputs of a recipe, and make those that are not stems.

    Args:
        recipe: has ``outputs``.
        signals: the mixture, then the stems of the recipe's track, ``(1 + stems, channels,
            samples)``.

    Returns:
        ``(outputs, channels, samples)``.
    """
    if not recipe.asked:
        return signals[1:]
    mixture, *stems = signals
    found = dict(zip(recipe.track.stems, stems, strict=True))
    return torch.stack([_one(name, mixture, found) for name in recipe.asked])


def _one(name: str, mixture: Tensor, stems: dict[str, Tensor]) -> Tensor:
    """One output, ``(channels, samples)``."""
    if name in stems:
        return stems[name]
    for source in narrowing.sources(tuple(stems), name):
        mixture = mixture - stems[source]
    return mixture
