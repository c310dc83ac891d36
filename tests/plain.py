"""Recipes of the package without what would only make tests slow."""

import dataclasses

from my_submission import recipe
from my_submission.recipe import Recipe


def once(name: str) -> Recipe:
    """A recipe whose members work once over a song, however much time there is."""
    chosen = recipe.load(name)
    members = [dataclasses.replace(one, settings=one.settings[:1]) for one in chosen.members]
    return dataclasses.replace(chosen, members=tuple(members))
