"""The recipe: separators for a song, and how their outputs are combined into stems.

:mod:`demixing.recipes.reading` describes the TOML files that recipes are read from.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from demixing.ensemble.blend import Blend, blended
from demixing.ensemble.gate import Gate
from demixing.ensemble.leak import Leak
from demixing.recipes import validation
from demixing.recipes.member import Member
from demixing.recipes.tracks import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a mixture becomes the stems of a track.

    Attributes:
        name: file name without extension, unless the table has a name of its own.
        track: defines the stems.
        summary: one-line description, shown by `demixing list`.
        fitted_on: songs on which the scores of the blends were measured, in a few words.
        boards: leaderboards that permit the training data of its weights.
        members: in the order in which they run.
        blends: how the members' outputs for a stem are combined.
        residual: the stem that is the mixture minus all others, or None.
        consistency: share of each stem in the residual, mixture minus stems.
        consistency_above_hz: only the residual above this frequency is shared; 0: all of it.
        leaks: leakage between stems, removed last.
        gates: by stem.
        asked: names of the outputs, if they are not the stems; see
            :mod:`demixing.recipes.narrowing`.
        left_out: members that do not run, and their outputs; their names keep their weights in the
            blends.
    """

    name: str
    track: Track
    summary: str
    members: tuple[Member, ...]
    fitted_on: str = ""
    boards: tuple[str, ...] = ()
    blends: tuple[Blend, ...] = ()
    residual: str | None = None
    consistency: Mapping[str, float] = field(default_factory=dict)
    consistency_above_hz: float = 0.0
    leaks: tuple[Leak, ...] = ()
    gates: Mapping[str, Gate] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    left_out: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        where = f"recipe {self.name!r}"
        validation.check_stems(where, self.track, self.members, self.residual)
        validation.check_names(where, self.track, self.boards, self.members)
        validation.check_subtract(where, self.members)
        validation.check_doubts(where, self.members, self.residual)
        validation.check_blends(where, self.blends, (*self.members, *self.left_out))
        leaking = [stem for leak in self.leaks for stem in (leak.of, leak.into)]
        tables = {"consistency": self.consistency, "leaks": leaking, "gates": self.gates}
        validation.check_tables(where, self.track, tables)
        validation.check_shares(where, self.consistency, self.consistency_above_hz, self.residual)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order: the stems, unless others are asked for."""
        return self.asked or self.track.stems

    @property
    def undoubted(self) -> tuple[str, ...]:
        """Names of the members that are never doubted, in order."""
        return tuple(member.name for member in self.members if member.doubt is None)

    def members_for(self, stem: str) -> tuple[str, ...]:
        """Names of the members that output ``stem``, in their order."""
        return tuple(member.name for member in self.members if stem in member.outputs)

    def without(self, names: Collection[str]) -> "Recipe":
        """The same recipe without some members, and without all blends that contain them.

        Args:
            names: of members that are optional, or whose stems other members output as well.

        Raises:
            ConfigError: the rest is not a valid recipe.
        """
        return replace(
            self,
            members=tuple(member for member in self.members if member.name not in names),
            blends=tuple(one for one in self.blends if one.weights.keys().isdisjoint(names)),
            left_out=tuple(member for member in self.left_out if member.name not in names),
        )

    def required(self) -> "Recipe":
        """The same recipe with all members required."""
        return replace(
            self, members=tuple(replace(member, optional=False) for member in self.members)
        )

    def blend(self, stem: str, names: Iterable[str]) -> Blend:
        """The blend of the outputs of exactly the members ``names`` for ``stem``."""
        return blended(self.blends, stem, frozenset(names))
