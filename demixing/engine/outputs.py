"""The outputs of a song: its stems, or what a narrowed recipe makes from them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from demixing.recipes import narrowing
from demixing.recipes.recipe import Recipe


def chosen(recipe: Recipe, signals: Sequence[Tensor]) -> Tensor:
    """Choose the outputs of a recipe, and make those that are not stems.

    Args:
        recipe: has ``outputs``.
        signals: the mixture, then the stems of the recipe's track, ``(channels, samples)`` each.

    Returns:
        ``(outputs, channels, samples)``.
    """
    mixture, *stems = signals
    if not recipe.asked:
        return torch.stack(stems)
    found = dict(zip(recipe.track.stems, stems, strict=True))
    return torch.stack([_one(name, mixture, found) for name in recipe.asked])


def _one(name: str, mixture: Tensor, stems: dict[str, Tensor]) -> Tensor:
    """One output, ``(channels, samples)``."""
    if name in stems:
        return stems[name]
    for source in narrowing.sources(tuple(stems), name):
        mixture = mixture - stems[source]
    return mixture
