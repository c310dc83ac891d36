"""Recipes of the package without what would only make tests slow."""

import dataclasses

from demixing import separators
from demixing.recipes import reading
from demixing.recipes.recipe import Member, Recipe
from demixing.weights.catalogue import find


def shipped(name: str) -> Recipe:
    """A recipe without the optional members whose weights no installed package contains."""
    chosen = reading.load(name)
    optional = [member for member in chosen.members if member.optional]
    return chosen.without([member.name for member in optional if not _comes_with_a_package(member)])


def _comes_with_a_package(member: Member) -> bool:
    weights = separators.required_weights(member.separator, member.options)
    return all(find(file).package for file in weights)


def once(name: str) -> Recipe:
    """A shipped recipe whose members work once over a song, however much time there is."""
    chosen = shipped(name)
    members = [dataclasses.replace(one, settings=one.settings[:1]) for one in chosen.members]
    return dataclasses.replace(chosen, members=tuple(members))
