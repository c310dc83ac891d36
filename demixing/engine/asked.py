"""Prepares a recipe for the stems that a user asks for: nothing else is built."""

import inspect
from collections.abc import Sequence
from dataclasses import replace

from demixing import separators
from demixing.engine import optional
from demixing.recipes.member import Member
from demixing.recipes.narrowing import narrowed
from demixing.recipes.recipe import Recipe


def prepared(recipe: Recipe, stems: Sequence[str] | None) -> Recipe:
    """Return the recipe that separates only some stems, with the members that are at hand.

    Args:
        recipe: as it was read.
        stems: names; None: all stems of the recipe, which is then returned as it is.

    Raises:
        ConfigError: the recipe has no such stem, or an invalid member.
    """
    if stems is None:
        return recipe
    narrowed(recipe, stems)  # wrong names come first: what follows may import networks
    # Absent members must go before: blends do not keep their place.
    found = narrowed(optional.resolved(recipe, optional.absent(recipe)), stems)
    return replace(found, members=tuple(map(_narrowed, found.members)))


def relevant(recipe: Recipe, stems: Sequence[str] | None) -> Recipe:
    """The recipe with all members, optional ones too, that would influence some stems.

    Args:
        recipe: as it was read.
        stems: see :func:`prepared`.

    Raises:
        ConfigError: the recipe has no such stem.
    """
    return recipe if stems is None else narrowed(recipe, stems)


def _narrowed(member: Member) -> Member:
    """Name the stems in the options of a separator that then loads fewer networks."""
    if "stems" in member.options or not _loads_by_stem(member.separator):
        return member
    parts = dict.fromkeys(part for parts in member.outputs.values() for part in parts)
    return replace(member, options={**member.options, "stems": list(parts)})


def _loads_by_stem(separator: str) -> bool:
    """Whether a separator has an option ``stems``, None for all, that decides what is loaded."""
    if separator not in separators.having("required_weights"):
        return False
    parameters = inspect.signature(separators.module(separator).required_weights).parameters
    return "stems" in parameters and parameters["stems"].default is None
