"""Narrows a recipe to the stems that a user asks for.

The narrowed recipe has only the members that can influence these stems, and they have the same
samples, to the last bit, as in the full separation. So everything that touches a stem keeps its
place:

    asked stems  <-  doubted members  <-  leaks, shares, residual  <-  other members

This is followed from the end. A member is kept if one of its stems is needed after it, and then the
stems that it subtracts are needed before it. A leak into a stem depends on all leaks into that
stem. A share of the residual, or the residual itself, depends on all stems.

Blends are rescaled while a song passes through the members, and the scale depends on which members
come later. So a removed member is remembered in ``left_out``: it does not run, but its name keeps
its weight in the blends.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from demixing.ensemble.leak import Leak
from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe

INSTRUMENTAL, RESIDUAL = "instrumental", "residual"
"""Outputs that are made from stems: the mixture without the voice, and without all stems."""

VOICES = ("vocals", "dialog")
"""Stems that ``instrumental`` leaves out, in music and in film sound."""

LOW_HZ = 1.0
"""Lower edge of a residual of which nothing is shared; see :func:`_stages`."""


def names(recipe: Recipe) -> tuple[str, ...]:
    """Everything that can be asked of a recipe: its stems, and what is made from them."""
    stems = recipe.track.stems
    made = [INSTRUMENTAL] if {*VOICES} & {*stems} else []
    return tuple(dict.fromkeys((*stems, *made, RESIDUAL)))


def sources(stems: Sequence[str], name: str) -> tuple[str, ...]:
    """The stems that an output is made from.

    >>> sources(("bass", "vocals"), "bass"), sources(("bass", "vocals"), "instrumental")
    (('bass',), ('vocals',))
    """
    if name in stems:
        return (name,)
    if name == INSTRUMENTAL:
        return tuple(voice for voice in VOICES if voice in stems)[:1]
    return tuple(stems)


def check(recipe: Recipe, stems: Sequence[str]) -> None:
    """Raise unless a recipe has all stems that are asked for.

    Raises:
        ConfigError: a stem does not exist, is named twice, or none is named.
    """
    known = names(recipe)
    if not stems or len({*stems}) < len(stems):
        raise ConfigError(f"expected each stem once, got {', '.join(stems) or 'none'}")
    for stem in stems:
        if stem not in known:
            raise ConfigError(
                f"recipe {recipe.name!r} has no stem {stem!r}{did_you_mean(stem, list(known))}"
            )


def narrowed(recipe: Recipe, stems: Sequence[str]) -> Recipe:
    """Return a recipe with the members that some stems need, and with the same samples in these.

    Args:
        recipe: as it is used, without the optional members that are absent.
        stems: some of :func:`names`, in the order of the output.

    Raises:
        ConfigError: see :func:`check`.
    """
    check(recipe, stems)
    needed = {one for name in stems for one in sources(recipe.track.stems, name)}
    late = _kept([one for one in recipe.members if one.doubt], needed)
    leaks, shares, above_hz = _stages(recipe, needed)
    if shares or recipe.residual in needed:
        needed.update(recipe.track.stems)
    early = _kept([one for one in recipe.members if not one.doubt], needed)
    members = (*early, *late)
    return replace(
        recipe,
        track=replace(recipe.track, stems=tuple(_only(recipe.track.stems, needed))),
        members=members,
        blends=tuple(one for one in recipe.blends if one.stem in needed),
        residual=recipe.residual if recipe.residual in needed else None,
        consistency=shares,
        consistency_above_hz=above_hz,
        leaks=leaks,
        gates={stem: gate for stem, gate in recipe.gates.items() if stem in needed},
        asked=tuple(stems),
        left_out=tuple(_left_out(recipe.members, members, needed)),
    )


def _kept(members: Sequence[Member], needed: set[str]) -> list[Member]:
    """Members that contribute to needed stems; the stems that they read are added to ``needed``."""
    kept: list[Member] = []
    for member in reversed(members):
        used = {*_only(member.outputs, needed)}
        if not used:
            continue
        if member.doubt:
            used.add(member.doubt.stem)
        outputs = {stem: member.outputs[stem] for stem in _only(member.outputs, used)}
        kept.insert(0, replace(member, outputs=outputs))
        needed |= {*member.subtract, *used}
    return kept


def _stages(
    recipe: Recipe, needed: set[str]
) -> tuple[tuple[Leak, ...], Mapping[str, float], float]:
    """Leaks, shares, and the lower edge of the shared residual; ``needed`` gets what leaks read."""
    touched = {
        leak.into
        for leak in recipe.leaks
        if leak.into in needed or (leak.returned and leak.of in needed)
    }
    leaks = tuple(leak for leak in recipe.leaks if leak.into in touched)
    needed |= {stem for leak in leaks for stem in (leak.of, leak.into)}
    shares = {stem: share for stem, share in recipe.consistency.items() if stem in needed}
    above_hz = recipe.consistency_above_hz
    if recipe.leaks and not leaks and not above_hz:
        # The cross-fades of the leakage filter round, so it also stays where nothing leaks.
        if shares:
            leaks = recipe.leaks
        else:
            above_hz = LOW_HZ
    return leaks, shares, above_hz


def _left_out(
    members: Iterable[Member], kept: Iterable[Member], needed: Collection[str]
) -> list[Member]:
    """The removed members, with their removed outputs among the needed stems."""
    there = {one.name: one.outputs for one in kept}
    result = []
    for one in members:
        gone = {
            stem: parts
            for stem, parts in one.outputs.items()
            if stem in needed and stem not in there.get(one.name, ())
        }
        if gone:
            result.append(replace(one, outputs=gone))
    return result


def _only(stems: Iterable[str], some: Collection[str]) -> list[str]:
    """Those of ``stems`` that are among ``some``, in order."""
    return [stem for stem in stems if stem in some]
