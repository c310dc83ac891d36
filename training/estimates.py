"""What a recipe makes of a song, as weighted sums of the song's signals.

The order is that of :mod:`my_submission.lanes`: blends, where a doubted member counts by its trust;
the residual, or shares in what all stems leave of the mixture; leaks. Gates are not part of it.
Trust and leaks depend on energies, so all this is of one song.
"""

from collections.abc import Mapping, Sequence

from my_submission.blend import Blend
from my_submission.doubt import TINY
from my_submission.leak import Leak
from my_submission.recipe import Member, Recipe
from my_submission.sealing import SILENT
from training.moments import MIXTURE, Combination, Moments, answer

Stems = Mapping[str, Combination]


def estimates(recipe: Recipe, song: Moments) -> dict[str, Combination]:
    """All stems, but for gates."""
    stems = shared(unshared(recipe, song), recipe.consistency)
    return sealed(stems, recipe.leaks, song)


def unshared(recipe: Recipe, song: Moments) -> dict[str, Combination]:
    """All stems before shares and leaks."""
    given = [stem for stem in recipe.track.stems if stem != recipe.residual]
    stems = {stem: _blended(recipe, song, stem) for stem in given}
    if recipe.residual:
        stems[recipe.residual] = left_of(stems)
    return stems


def _blended(recipe: Recipe, song: Moments, stem: str) -> Combination:
    """The blend of all givers, or as much of it as the doubted one is trusted."""
    givers = recipe.givers(stem)
    whole = of_blend(recipe.blend(stem, givers))
    member = doubted(recipe, givers)
    others = [name for name in givers if member and name != member.name]
    if member is None or not others:
        return whole
    trust = trust_of(recipe, member, song)
    return mixed(whole, of_blend(recipe.blend(stem, others)), trust)


def of_blend(blend: Blend) -> dict[str, float]:
    """A blend as weights of signals."""
    weights = {answer(name, blend.stem): weight for name, weight in blend.weights.items()}
    return {**weights, MIXTURE: blend.mixture}


def doubted(recipe: Recipe, names: Sequence[str]) -> Member | None:
    """The one of the members of these names that may be doubted: the last, if any."""
    found = [one for one in recipe.members if one.name in names and one.doubt]
    return found[-1] if found else None


def compared(recipe: Recipe, member: Member) -> tuple[str, ...]:
    """Names of those with whom a doubted member is compared; none if it is always believed.

    It is believed where one of its stems is given by no other: nothing could stand in.
    """
    if member.doubt is None:
        return ()
    others = {
        stem: tuple(name for name in recipe.givers(stem) if name != member.name)
        for stem in member.gives
    }
    return others[member.doubt.stem] if all(others.values()) else ()


def trust_of(recipe: Recipe, member: Member, song: Moments, blend: Blend | None = None) -> float:
    """How much a doubted member counts in a song, from 0 to 1, by the energies of the whole song.

    The pipeline decides every ten seconds by the song so far, so at the end of a song it agrees.

    Args:
        recipe: with the member.
        member: with a doubt.
        song: whose answers are compared.
        blend: of those with whom it is compared; None: the recipe's.
    """
    names = compared(recipe, member)
    if not names or member.doubt is None:
        return 1.0
    stem = member.doubt.stem
    rest = of_blend(blend or recipe.blend(stem, names))
    disputed = song.energy(added(rest, {answer(member.name, stem): 1.0}, -1.0))
    return member.doubt.trust(disputed / max(song.energy({MIXTURE: 1.0}), TINY))


def added(one: Combination, other: Combination, factor: float = 1.0) -> Combination:
    """Add weighted sums, one of them times a factor."""
    result = dict(one)
    for name, weight in other.items():
        result[name] = result.get(name, 0.0) + factor * weight
    return result


def mixed(whole: Combination, rest: Combination, trust: float) -> Combination:
    """So much of the whole as it is trusted, and the rest for what is missing."""
    if trust >= 1:
        return whole
    return added({name: trust * weight for name, weight in whole.items()}, rest, 1 - trust)


def left_of(stems: Stems) -> Combination:
    """What all stems leave of the mixture."""
    left: Combination = {MIXTURE: 1.0}
    for own in stems.values():
        left = added(left, own, -1.0)
    return left


def shared(stems: Stems, consistency: Mapping[str, float]) -> dict[str, Combination]:
    """Stems with their shares in what all leave of the mixture."""
    if not consistency:
        return dict(stems)
    left = left_of(stems)
    return {stem: added(own, left, consistency.get(stem, 0.0)) for stem, own in stems.items()}


def sealed(stems: Stems, leaks: Sequence[Leak], song: Moments) -> dict[str, Combination]:
    """Stems without their leaks, as :mod:`my_submission.sealing` does it, for a song as a whole."""
    powers = {
        stem: song.energies(stems[stem])
        for stem in dict.fromkeys(stem for leak in leaks for stem in (leak.of, leak.into))
    }
    parts = [leak.power * powers[leak.of] / powers[leak.into].clip(min=SILENT) for leak in leaks]
    whole = {leak.into: 0.0 * powers[leak.into] for leak in leaks}
    for leak, part in zip(leaks, parts, strict=True):
        whole[leak.into] = whole[leak.into] + part
    result = dict(stems)
    for leak, part in zip(leaks, parts, strict=True):
        fraction = part / whole[leak.into].clip(min=1.0)
        taken = {name: fraction * weight for name, weight in stems[leak.into].items()}
        result[leak.into] = added(result[leak.into], taken, -1.0)
        if leak.returned:
            result[leak.of] = added(result[leak.of], taken)
    return result
