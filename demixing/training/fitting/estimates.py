"""What a recipe makes of a song, as weighted sums of the song's signals.

The order is that of :mod:`demixing.engine.pipeline`: blends of the members that are never doubted;
the residual, or shares in what all stems leave of the mixture; leaks; then doubted members, which
count by their trust. Gates are not part of it. Trust and leaks depend on energies, so all this is
of one song.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from demixing.engine.leakage_filter import SILENT, high, in_bands
from demixing.ensemble.blend import Blend, ratio
from demixing.ensemble.doubt import TINY
from demixing.ensemble.leak import Leak
from demixing.evaluation.gram import Combination
from demixing.recipes.recipe import Member, Recipe
from demixing.training.fitting.song_gram import MIXTURE, SongGram, answer

Stems = Mapping[str, Combination]


def estimates(recipe: Recipe, song: SongGram) -> dict[str, Combination]:
    """All stems, but for gates."""
    return _judged(recipe, song)[0]


def disputes_of(recipe: Recipe, song: SongGram) -> dict[str, float]:
    """Which part of a song's energy each member that may be doubted disputes, by its name."""
    return _judged(recipe, song)[1]


def _judged(recipe: Recipe, song: SongGram) -> tuple[dict[str, Combination], dict[str, float]]:
    """All stems, and what each doubted member disputes."""
    stems = finished(recipe, unshared(recipe), song)
    parts = {}
    for member in recipe.members:
        if member.doubt:
            parts[member.name] = disputed(member, song, stems[member.doubt.stem])
            stems |= _with(recipe, member, stems, song)
    return stems, parts


def disputed(member: Member, song: SongGram, rest: Combination) -> float:
    """Energy of the difference between a member and the others, as a part of the mixture's.

    Args:
        member: with a doubt.
        song: whose answers are compared.
        rest: what the others make of the stem that is compared.
    """
    assert member.doubt is not None
    mine = {answer(member.name, member.doubt.stem): 1.0}
    return song.energy(added(rest, mine, -1.0)) / max(song.energy({MIXTURE: 1.0}), TINY)


def unshared(recipe: Recipe) -> dict[str, Combination]:
    """All stems before shares and leaks, by the members that are never doubted."""
    stems: dict[str, Combination] = {}
    for stem in recipe.track.stems:
        givers = [name for name in recipe.givers(stem) if name in recipe.undoubted]
        if givers:
            stems[stem] = of_blend(recipe.blend(stem, givers))
        elif stem != recipe.residual:
            stems[stem] = {MIXTURE: 1 / len(recipe.track.stems)}
    if recipe.residual:
        stems[recipe.residual] = left_of(stems)
    return stems


def finished(recipe: Recipe, stems: Stems, song: SongGram) -> dict[str, Combination]:
    """Stems with the recipe's shares, and without its leaks."""
    return sealed(shared(stems, recipe.consistency, passed(recipe, song)), recipe.leaks, song)


def _with(recipe: Recipe, member: Member, stems: Stems, song: SongGram) -> dict[str, Combination]:
    """The stems of a doubted member, after its answer: see :mod:`demixing.ensemble.blend`."""
    before = {one.name for one in recipe.members[: recipe.members.index(member)]}
    assert member.doubt is not None
    trust = trust_of(recipe, member, song, stems[member.doubt.stem])
    result = {}
    for stem in member.outputs:
        names = [name for name in recipe.givers(stem) if name in before]
        blend = recipe.blend(stem, [*names, member.name])
        add = blend.weights[member.name]
        whole: Combination = {answer(member.name, stem): add, MIXTURE: blend.mixture}
        if names:
            rest = recipe.blend(stem, names)
            keep = ratio(blend.total - add, rest.total)
            whole = added(added(whole, stems[stem], keep), {MIXTURE: -keep * rest.mixture})
        result[stem] = mixed(whole, stems[stem], trust)
    return result


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
        for stem in member.outputs
    }
    return others[member.doubt.stem] if all(others.values()) else ()


def trust_of(recipe: Recipe, member: Member, song: SongGram, rest: Combination) -> float:
    """How much a doubted member counts in a song, from 0 to 1, by the energies of the whole song.

    The pipeline decides every ten seconds by the song so far, so at the end of a song it agrees.

    Args:
        recipe: with the member.
        member: with a doubt.
        song: whose answers are compared.
        rest: what those make of the stem with whom it is compared.
    """
    if not compared(recipe, member) or member.doubt is None:
        return 1.0
    return member.doubt.trust(disputed(member, song, rest))


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


def passed(recipe: Recipe, song: SongGram) -> NDArray[np.float64] | float:
    """How much of what is left is shared, in each band, ``(bands,)``, or in all."""
    if not recipe.consistency_above_hz:
        return 1.0
    bins = 2**12 + 1
    bands = in_bands(bins, song.sample_rate_hz).double()
    curve = high(bins, song.sample_rate_hz, recipe.consistency_above_hz).double()
    return np.asarray(((curve @ bands) / bands.sum(dim=0)).numpy(), dtype=np.float64)


def shared(
    stems: Stems, consistency: Mapping[str, float], part: NDArray[np.float64] | float
) -> dict[str, Combination]:
    """Stems with their shares in what all leave of the mixture.

    Args:
        stems: all of the track.
        consistency: their shares.
        part: of what is left that is shared, in each band, ``(bands,)``, or in all.
    """
    if not consistency:
        return dict(stems)
    left = {name: part * weight for name, weight in left_of(stems).items()}
    return {stem: added(own, left, consistency.get(stem, 0.0)) for stem, own in stems.items()}


def sealed(stems: Stems, leaks: Sequence[Leak], song: SongGram) -> dict[str, Combination]:
    """Stems without their leaks, for a whole song: see :mod:`demixing.engine.leakage_filter`."""
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
