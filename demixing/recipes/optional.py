"""Optional members of recipes: which of them are missing, and what getting their files would add.

A member that is ``optional`` is absent if a file that it would open does not exist at all: neither
the official one nor what ``python -m my_submission import`` made of it. The recipe is then used
without the member and without all blends that have it, exactly as if they were not written down.
A file that exists but is damaged, a Git-LFS pointer for example, is never taken for a missing one.
"""

from collections.abc import Collection

from demixing import separators
from demixing.errors import CheckpointError
from demixing.recipes import worth
from demixing.recipes.recipe import Member, Recipe
from demixing.separators.demucs import bags
from demixing.weights.catalogue import find
from demixing.weights.recommended import RECOMMENDED, RECOMMENDED_NAME

LEAST_DB = 0.05
"""A gain below it would be printed as 0.0 dB, so that it is not named."""


def absent(recipe: Recipe) -> tuple[str, ...]:
    """Names of the optional members whose files are missing, in the recipe's order.

    Raises:
        ConfigError: an optional member has a separator that does not exist, or wrong options.
    """
    return tuple(one.name for one in recipe.members if one.optional and missing(one))


def settled(recipe: Recipe, without: Collection[str]) -> Recipe:
    """The recipe as it is used: without some members, and all others are required.

    A child process that gets this recipe does not decide again, and counts the same members.

    Args:
        recipe: as it is written.
        without: names of members, as :func:`absent` finds them.
    """
    if not any(member.optional for member in recipe.members):
        return recipe
    return recipe.without(without).required()


def missing(member: Member) -> tuple[str, ...]:
    """Names in the register of the files that a member needs and that do not exist.

    Empty as well where the register knows no such file: building the member says so.

    Raises:
        ConfigError: there is no such separator, or it refuses its options.
    """
    try:
        files = [
            find(name) for name in separators.required_weights(member.separator, member.options)
        ]
    except CheckpointError:
        return ()
    return tuple(file.name for file in files if not file.exists())


def gain_db(recipe: Recipe, names: Collection[str]) -> float | None:
    """What some optional members add to the recipe's score, by the planner's own score.

    Args:
        recipe: as it is written.
        names: of the members.

    Returns:
        The difference of two means over the stems, in dB: all members, less those without
        ``names``. None if the blends of one of the two were not measured.
    """
    rest = recipe.without(names)
    if not (worth.measured(recipe) and worth.measured(rest)):
        return None
    together_db = worth.score_db(recipe, worth.everything(recipe))
    return together_db - worth.score_db(rest, worth.everything(rest))


def advice(recipe: Recipe) -> str:
    """One sentence about members that are missing: how to get them, and what they would add.

    Args:
        recipe: as it is written, not as :func:`settled` makes it.

    Returns:
        The sentence, without a full stop; "" where nothing is missing.

    Raises:
        ConfigError: see :func:`absent`.
    """
    names = absent(recipe)
    if not names:
        return ""
    members = [member for member in recipe.members if member.name in names]
    subject = " and ".join(member.name for member in members)
    state = f"{subject} {'is' if len(members) == 1 else 'are'} not in place"
    files = {name: find(name) for member in members for name in missing(member)}
    gain = gain_db(recipe, names)
    amount = f"about {gain:.1f} dB" if gain is not None and gain >= LEAST_DB else ""
    if any(file.package or file.folder for file in files.values()):
        remedies = ", and ".join(dict.fromkeys(file.remedy() for file in files.values()))
        worth_it = f", and would add {amount}" if amount else ""
        return f"{state}{worth_it}: {remedies}"
    wanted = dict.fromkeys(
        fetched_as(member, name) for member in members for name in missing(member)
    )
    effect = f"would add {amount}" if amount else "gets what is missing"
    return f"{state}: `python -m my_submission fetch {' '.join(wanted)}` {effect}"


def fetched_as(member: Member, file: str) -> str:
    """Under which name ``fetch`` gets a file that a member needs.

    The recommended ones come from any place that can be reached, so that name is only for members
    that take any of them.

    Args:
        member: takes the file.
        file: its name in the register.
    """
    recommended = any(file in system.files for system in RECOMMENDED)
    takes_any = member.options.get("files") == bags.ANY
    return RECOMMENDED_NAME if recommended and takes_any else file
