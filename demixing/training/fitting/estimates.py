"""The output of a recipe for a song, as weighted sums of the song's signals.

The order is that of :mod:`demixing.engine.pipeline`: the weighted members that are never doubted;
the residual, or mixture consistency; the leakage filter; then doubted members, weighted by their
trust. Gates are not included. Trust and leaks depend on energies, so they differ from song to song.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from demixing.engine.leakage_filter import SILENT, high, in_bands
from demixing.ensemble.blend import Blend, ratio
from demixing.ensemble.doubt import TINY
from demixing.ensemble.leak import Leak
from demixing.evaluation.gram import Combination
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.training.fitting.song_gram import MIXTURE, SongGram, signal_name

Stems = Mapping[str, Combination]


def estimates(recipe: Recipe, song: SongGram) -> dict[str, Combination]:
    """All stems, before gates."""
    return _judged(recipe, song)[0]


def disputes_of(recipe: Recipe, song: SongGram) -> dict[str, float]:
    """Part of a song's energy that each member with a doubt disputes, 0 or above, by its name."""
    return _judged(recipe, song)[1]


def _judged(recipe: Recipe, song: SongGram) -> tuple[dict[str, Combination], dict[str, float]]:
    """All stems, and the part of the energy that each member with a doubt disputes."""
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
        member: member with a doubt.
        song: song with the estimates of the members.
        rest: estimate of the compared stem by the other members.
    """
    assert member.doubt is not None
    own = {signal_name(member.name, member.doubt.stem): 1.0}
    return song.energy(added(rest, own, -1.0)) / max(song.energy({MIXTURE: 1.0}), TINY)


def unshared(recipe: Recipe) -> dict[str, Combination]:
    """All stems of the members that are never doubted, before mixture consistency and leaks."""
    stems: dict[str, Combination] = {}
    for stem in recipe.track.stems:
        givers = [name for name in recipe.members_for(stem) if name in recipe.undoubted]
        if givers:
            stems[stem] = of_blend(recipe.blend(stem, givers))
        elif stem != recipe.residual:
            stems[stem] = {MIXTURE: 1 / len(recipe.track.stems)}
    if recipe.residual:
        stems[recipe.residual] = left_of(stems)
    return stems


def finished(recipe: Recipe, stems: Stems, song: SongGram) -> dict[str, Combination]:
    """Stems after mixture consistency and the leakage filter."""
    return leak_filtered(
        shared(stems, recipe.consistency, passed(recipe, song)), recipe.leaks, song
    )


def _with(recipe: Recipe, member: Member, stems: Stems, song: SongGram) -> dict[str, Combination]:
    """The stems of a doubted member, once it is added: see :mod:`demixing.ensemble.blend`."""
    before = {one.name for one in recipe.members[: recipe.members.index(member)]}
    assert member.doubt is not None
    trust = trust_of(recipe, member, song, stems[member.doubt.stem])
    result = {}
    for stem in member.outputs:
        names = [name for name in recipe.members_for(stem) if name in before]
        blend = recipe.blend(stem, [*names, member.name])
        add = blend.weights[member.name]
        whole: Combination = {signal_name(member.name, stem): add, MIXTURE: blend.mixture}
        if names:
            rest = recipe.blend(stem, names)
            keep = ratio(blend.total - add, rest.total)
            whole = added(added(whole, stems[stem], keep), {MIXTURE: -keep * rest.mixture})
        result[stem] = mixed(whole, stems[stem], trust)
    return result


def of_blend(blend: Blend) -> dict[str, float]:
    """Ensemble weights by names of signals."""
    weights = {signal_name(name, blend.stem): weight for name, weight in blend.weights.items()}
    return {**weights, MIXTURE: blend.mixture}


def doubted(recipe: Recipe, names: Sequence[str]) -> Member | None:
    """The last of the members of these names that may be doubted; None if there is none."""
    found = [one for one in recipe.members if one.name in names and one.doubt]
    return found[-1] if found else None


def compared(recipe: Recipe, member: Member) -> tuple[str, ...]:
    """Names of the members that a member with a doubt is compared with; empty if it is trusted.

    It is always trusted if no other member estimates one of its stems, since nothing could replace
    it.
    """
    if member.doubt is None:
        return ()
    others = {
        stem: tuple(name for name in recipe.members_for(stem) if name != member.name)
        for stem in member.outputs
    }
    return others[member.doubt.stem] if all(others.values()) else ()


def trust_of(recipe: Recipe, member: Member, song: SongGram, rest: Combination) -> float:
    """Trust in a member with a doubt, 0 to 1, from the energies of the whole song.

    The pipeline decides every ten seconds from the song so far, so both agree at the end of a song.

    Args:
        recipe: recipe with the member.
        member: member with a doubt.
        song: song with the estimates of the members.
        rest: estimate of the compared stem by the other members.
    """
    if not compared(recipe, member) or member.doubt is None:
        return 1.0
    return member.doubt.trust(disputed(member, song, rest))


def added(one: Combination, other: Combination, factor: float = 1.0) -> Combination:
    """Add a weighted sum, multiplied by a factor, to another."""
    result = dict(one)
    for name, weight in other.items():
        result[name] = result.get(name, 0.0) + factor * weight
    return result


def mixed(whole: Combination, rest: Combination, trust: float) -> Combination:
    """Interpolate from ``rest``, at trust 0, to ``whole``, at trust 1."""
    if trust >= 1:
        return whole
    return added({name: trust * weight for name, weight in whole.items()}, rest, 1 - trust)


def left_of(stems: Stems) -> Combination:
    """The mixture minus all stems."""
    left: Combination = {MIXTURE: 1.0}
    for own in stems.values():
        left = added(left, own, -1.0)
    return left


def passed(recipe: Recipe, song: SongGram) -> NDArray[np.float64] | float:
    """Part of the difference between mixture and stems that is shared, ``(bands,)`` or a number."""
    if not recipe.consistency_above_hz:
        return 1.0
    bins = 2**12 + 1
    bands = in_bands(bins, song.sample_rate_hz).double()
    curve = high(bins, song.sample_rate_hz, recipe.consistency_above_hz).double()
    return np.asarray(((curve @ bands) / bands.sum(dim=0)).numpy(), dtype=np.float64)


def shared(
    stems: Stems, consistency: Mapping[str, float], part: NDArray[np.float64] | float
) -> dict[str, Combination]:
    """Apply mixture consistency: add shares of the difference between mixture and stems.

    Args:
        stems: all stems of the track.
        consistency: shares of the stems.
        part: part of the difference that is shared, ``(bands,)`` or a number.
    """
    if not consistency:
        return dict(stems)
    left = {name: part * weight for name, weight in left_of(stems).items()}
    return {stem: added(own, left, consistency.get(stem, 0.0)) for stem, own in stems.items()}


def leak_filtered(stems: Stems, leaks: Sequence[Leak], song: SongGram) -> dict[str, Combination]:
    """Apply the leakage filter to a whole song: see :mod:`demixing.engine.leakage_filter`."""
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
