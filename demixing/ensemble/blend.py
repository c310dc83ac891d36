"""Ensemble weights, and the running average that applies them.

A blend is a weighted sum of the members' outputs for a stem, plus the weighted mixture. Its weights
are fitted for exactly the members that it names. The average is updated while the song streams
through: there is an estimate of the stem after each member. So a missing output only makes the
estimate worse, and an additional member costs no memory.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from demixing.errors import ConfigError

TINY = 1e-3
"""A smaller sum of weights is not used as a divisor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """The weights of the members that have output for a stem.

    Attributes:
        stem: of the track.
        weights: weight of each member, by name.
        mixture: the weight of the mixture.
        sdr_db: its score on validation songs; None if it was not measured.
    """

    stem: str
    weights: Mapping[str, float]
    mixture: float = 0.0
    sdr_db: float | None = None

    def __post_init__(self) -> None:
        if not self.weights:
            raise ConfigError(
                f"a blend of {self.stem!r} must have a weight for at least one member"
            )

    @property
    def total(self) -> float:
        """Sum of the members' weights."""
        return sum(self.weights.values())


def blended(blends: Iterable[Blend], stem: str, names: frozenset[str]) -> Blend:
    """Find the blend of exactly ``names``, or derive one.

    Args:
        blends: of any stems.
        stem: of the track.
        names: members that have output, at least one.

    Returns:
        The listed blend; otherwise the smallest listed one that contains ``names``, without the
        other members and rescaled to the same sum of weights; otherwise the mean.
    """
    listed = [blend for blend in blends if blend.stem == stem and names <= blend.weights.keys()]
    if not listed:
        return Blend(stem=stem, weights=dict.fromkeys(sorted(names), 1 / len(names)))
    nearest = min(listed, key=lambda blend: len(blend.weights))
    if nearest.weights.keys() == names:
        return nearest
    kept = {name: weight for name, weight in nearest.weights.items() if name in names}
    scale = ratio(nearest.total, sum(kept.values()))
    return Blend(
        stem=stem,
        weights={name: scale * weight for name, weight in kept.items()},
        mixture=nearest.mixture,
    )


class Update(NamedTuple):
    """Changes an estimate to ``keep * estimate + add * output + mix * mixture``."""

    keep: float
    add: float
    mix: float


@dataclass(frozen=True)
class RunningAverage:
    """The weighted average of one stem, updated member by member.

    If all planned members have output, the result is exactly their blend. Before that, or if one of
    them fails, the estimate is the part of that blend from the members with output, scaled to the
    sum of weights of their own blend. A member that was not planned is added with its weight in the
    blend of all members with output.

    Attributes:
        stem: of the track.
        blends: of the recipe.
        givers: names of all members that output the stem.
        planned: those that there is time for.
    """

    stem: str
    blends: Sequence[Blend]
    givers: tuple[str, ...]
    planned: frozenset[str]

    def update(self, answered: frozenset[str], name: str) -> Update:
        """How the output of ``name`` changes the estimate, after the members in ``answered``."""
        together = answered | {name}
        blend = blended(self.blends, self.stem, together)
        if together <= self.planned:
            scale, before = self._scale(together), self._scale(answered)
            keep, add = ratio(scale, before), scale * self._target.weights[name]
        else:
            add = blend.weights[name]
            keep = 1.0
            if answered:
                keep = ratio(blend.total - add, blended(self.blends, self.stem, answered).total)
        if not answered:
            return Update(0.0, add, blend.mixture)
        known = blended(self.blends, self.stem, answered)
        return Update(keep, add, blend.mixture - keep * known.mixture)

    @cached_property
    def _target(self) -> Blend:
        """The blend of all planned members."""
        return blended(self.blends, self.stem, self.planned)

    def _scale(self, names: frozenset[str]) -> float:
        """The factor for the target's weights of ``names``, if only they have output."""
        if not names:
            return 1.0
        part = sum(self._target.weights[name] for name in names)
        return ratio(blended(self.blends, self.stem, names).total, part)


def ratio(part: float, whole: float) -> float:
    """Divide, or return 1 if the divisor is nearly 0.

    >>> ratio(1.0, 4.0), ratio(1.0, 0.0)
    (0.25, 1.0)
    """
    return part / whole if abs(whole) > TINY else 1.0


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All non-empty subsets, smallest first.

    >>> subsets(["a", "b"])
    [('a',), ('b',), ('a', 'b')]
    """
    sizes = range(1, len(names) + 1)
    return [some for size in sizes for some in itertools.combinations(names, size)]
