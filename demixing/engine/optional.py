"""Optional members of recipes: which of them are missing, and what installing them would add.

An ``optional`` member is absent if a file that it needs does not exist (neither the official file
nor its conversion by ``demixing import``), or if a package that it needs is not installed. The
recipe is then used without the member and without all blends that contain it, as if they were not
in the file. A file that exists but is damaged, for example a Git-LFS pointer, does not count as
missing.
"""

import importlib.util
from collections.abc import Collection

from demixing import separators
from demixing.errors import CheckpointError
from demixing.machine.installation import install_command
from demixing.recipes import expected_score
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.separators.demucs import bags
from demixing.weights.catalogue import find
from demixing.weights.recommended import RECOMMENDED, RECOMMENDED_NAME

LEAST_DB = 0.05
"""A smaller gain would print as 0.0 dB, so it is not mentioned."""


def absent(recipe: Recipe) -> tuple[str, ...]:
    """Names of the optional members with a missing file or package, in the recipe's order.

    Raises:
        ConfigError: an optional member has an unknown separator or invalid options.
    """
    return tuple(
        one.name
        for one in recipe.members
        if one.optional and (missing(one) or missing_packages(one))
    )


def resolved(recipe: Recipe, without: Collection[str]) -> Recipe:
    """The recipe that is used: some members removed, and all others required.

    A child process that gets this recipe does not decide again, so both use the same members.

    Args:
        recipe: as it was read.
        without: names of members, as :func:`absent` finds them.
    """
    if not any(member.optional for member in recipe.members):
        return recipe
    return recipe.without(without).required()


def missing(member: Member) -> tuple[str, ...]:
    """Catalogue names of the files that a member needs and that do not exist.

    Also empty if the catalogue has no such file; building the member reports that.

    Raises:
        ConfigError: there is no such separator, or its options are invalid.
    """
    try:
        files = [
            find(name) for name in separators.required_weights(member.separator, member.options)
        ]
    except CheckpointError:
        return ()
    return tuple(file.name for file in files if not file.exists())


def missing_packages(member: Member) -> tuple[str, ...]:
    """Packages of an extra that a member imports and that are not installed."""
    packages = separators.required_packages(member.separator)
    return tuple(one for one in packages if importlib.util.find_spec(one) is None)


def gain_db(recipe: Recipe, names: Collection[str]) -> float | None:
    """Expected gain in score from some optional members, as the planner estimates it.

    Args:
        recipe: as it was read.
        names: of the members.

    Returns:
        The difference in dB between the mean over the stems with all members and without ``names``.
        None if the blends of either were not measured.
    """
    rest = recipe.without(names)
    if not (expected_score.measured(recipe) and expected_score.measured(rest)):
        return None
    together_db = expected_score.score_db(recipe, expected_score.everything(recipe))
    return together_db - expected_score.score_db(rest, expected_score.everything(rest))


def advice(recipe: Recipe) -> str:
    """One sentence about missing members: how to get them, and what they would add.

    Args:
        recipe: as it was read, not from :func:`resolved`.

    Returns:
        The sentence, without a full stop; "" if nothing is missing.

    Raises:
        ConfigError: see :func:`absent`.
    """
    names = absent(recipe)
    if not names:
        return ""
    members = [member for member in recipe.members if member.name in names]
    subject = " and ".join(member.name for member in members)
    state = f"{subject} {'is' if len(members) == 1 else 'are'} not installed"
    files = {name: find(name) for member in members for name in missing(member)}
    gain = gain_db(recipe, names)
    amount = f"about {gain:.1f} dB" if gain is not None and gain >= LEAST_DB else ""
    if any(file.folder for file in files.values()):
        remedies = ", and ".join(dict.fromkeys(file.remedy() for file in files.values()))
        gain_too = f", and would add {amount}" if amount else ""
        return f"{state}{gain_too}: {remedies}"
    wanted = dict.fromkeys(
        fetched_as(member, name) for member in members for name in missing(member)
    )
    commands = [f"`demixing fetch {' '.join(wanted)}`"] if wanted else []
    if any(missing_packages(member) for member in members):
        commands.append(f"`{install_command('demucs')}`")
    effect = f"would add {amount}" if amount else "gets what is missing"
    return f"{state}: {' and '.join(commands)} {effect}"


def fetched_as(member: Member, file: str) -> str:
    """The argument of ``demixing fetch`` for a file that a member needs.

    ``recommended`` downloads from any reachable source, so it only suits members that accept any of
    these files.

    Args:
        member: needs the file.
        file: its name in the catalogue.
    """
    recommended = any(file in system.files for system in RECOMMENDED)
    takes_any = member.options.get("files") == bags.ANY
    return RECOMMENDED_NAME if recommended and takes_any else file
