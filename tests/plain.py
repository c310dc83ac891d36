"""Recipes of the package without what would only make tests slow."""

import dataclasses

from demixing.recipes import reading
from demixing.recipes.recipe import Recipe


def shipped(name: str) -> Recipe:
    """A recipe without its optional members, whose files do not come with the package."""
    chosen = reading.load(name)
    return chosen.without([member.name for member in chosen.members if member.optional])


def once(name: str) -> Recipe:
    """A shipped recipe whose members work once over a song, however much time there is."""
    chosen = shipped(name)
    members = [dataclasses.replace(one, settings=one.settings[:1]) for one in chosen.members]
    return dataclasses.replace(chosen, members=tuple(members))
