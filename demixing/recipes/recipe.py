"""What a recipe is: separators that a song goes through, and how their outputs become stems.

:mod:`demixing.recipes.reading` describes the TOML files that recipes are read from.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from demixing.ensemble.blend import Blend, blended
from demixing.ensemble.doubt import Doubt
from demixing.ensemble.gate import Gate
from demixing.ensemble.leak import Leak
from demixing.ensemble.setting import Setting
from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.tracks import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One separator of a recipe.

    Attributes:
        name: unlike that of any other member.
        separator: its key.
        outputs: for each stem of the track that it contributes, the separator's own stems that
            sum to it.
        subtract: stems of earlier members that are subtracted from the mixture it hears.
        options: arguments of the separator.
        settings: at least one.
        doubt: when the members before it count in its place; None: never.
        optional: whether the recipe does without it where its files are missing. It is no part of
            the ``repr``, by which caches and runs know a recipe: it changes no answer.
    """

    name: str
    separator: str
    outputs: Mapping[str, tuple[str, ...]]
    subtract: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: tuple[Setting, ...] = (Setting(),)
    doubt: Doubt | None = None
    optional: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that turns a mixture into the stems of a track.

    Attributes:
        name: of the file, without its ending, unless the table has a name of its own.
        track: whose stems it gives.
        summary: one line for people.
        boards: leaderboards that admit the data on which its weights were trained.
        members: in the order in which they run if nothing is known of their worth.
        blends: how the answers for a stem are combined, by who gave one.
        residual: the stem that is the mixture minus all others, or None.
        consistency: for each stem its share in what all stems leave of the mixture.
        consistency_above_hz: frequency below which what is left stays left; 0: all is shared.
        leaks: between stems, mended last.
        gates: by stem.
    """

    name: str
    track: Track
    summary: str
    members: tuple[Member, ...]
    boards: tuple[str, ...] = ()
    blends: tuple[Blend, ...] = ()
    residual: str | None = None
    consistency: Mapping[str, float] = field(default_factory=dict)
    consistency_above_hz: float = 0.0
    leaks: tuple[Leak, ...] = ()
    gates: Mapping[str, Gate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"recipe {self.name!r}"
        given = {stem for member in self.members for stem in member.outputs}
        if self.residual in given or given | {self.residual} - {None} != {*self.track.stems}:
            residual = f", and {self.residual} as the residual" if self.residual else ""
            raise ConfigError(
                f"{where} must give each of {', '.join(self.track.stems)}, and a residual is given "
                f"by no member, but its members give {', '.join(sorted(given)) or 'nothing'}"
                f"{residual}"
            )
        required = {
            stem for member in self.members if not member.optional for stem in member.outputs
        }
        if alone := given - required:
            raise ConfigError(
                f"{where}: only optional members give {', '.join(sorted(alone))}; let one that is "
                "not optional give it, too"
            )
        for board in self.boards:
            if board not in self.track.boards:
                raise ConfigError(
                    f"{where}: the track {self.track.name!r} has the boards "
                    f"{', '.join(self.track.boards)}, got {board!r}"
                )
        names = [member.name for member in self.members]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{where} has two members named {name!r}; give one a name")
        self._check_subtract(where)
        self._check_doubts(where)
        self._check_tables(where)

    def _check_subtract(self, where: str) -> None:
        """Raise unless members subtract what comes before them, with or without optional ones."""
        known: set[str] = set()
        required: set[str] = set()
        for member in self.members:
            subtracts = f"{where}: member {member.name!r} subtracts"
            if unknown := set(member.subtract) - known:
                raise ConfigError(
                    f"{subtracts} {', '.join(sorted(unknown))}, which no earlier member gives"
                )
            if unsure := set(member.subtract) - required:
                raise ConfigError(
                    f"{subtracts} {', '.join(sorted(unsure))}, which only optional members give "
                    "before it; let one that is not optional give it before"
                )
            known |= member.outputs.keys()
            required |= set() if member.optional else member.outputs.keys()

    def _check_doubts(self, where: str) -> None:
        """Raise unless members that may be doubted come after all that they are compared with."""
        for number, member in enumerate(self.members):
            if member.doubt is None:
                continue
            if self.residual:
                raise ConfigError(
                    f"{where} has a residual, so no member may be doubted: the residual is what "
                    f"the others leave before {member.name!r} answers; use consistency instead"
                )
            if member.doubt.stem not in member.outputs:
                raise ConfigError(
                    f"{where}: member {member.name!r} is doubted for its {member.doubt.stem!r}, "
                    f"which it does not give{did_you_mean(member.doubt.stem, list(member.outputs))}"
                )
            for later in self.members[number + 1 :]:
                if both := sorted(later.outputs.keys() & member.outputs.keys()):
                    raise ConfigError(
                        f"{where}: member {member.name!r} may be doubted, so it must come after "
                        f"all that give the same stems, but {later.name!r} gives {both[0]!r}, "
                        "too; move it down"
                    )
                if later.doubt is None:
                    raise ConfigError(
                        f"{where}: member {member.name!r} may be doubted, so it must come after "
                        f"all that are always believed, but {later.name!r} follows; move it down"
                    )

    def _check_tables(self, where: str) -> None:
        """Raise unless blends, shares and gates speak of members and stems that there are."""
        for blend in self.blends:
            givers = self.givers(blend.stem)
            for name in blend.weights:
                if name not in givers:
                    raise ConfigError(
                        f"{where}: a blend of {blend.stem!r} has a weight for {name!r}, which does "
                        f"not give it{did_you_mean(name, list(givers))}"
                    )
        leaking = [stem for leak in self.leaks for stem in (leak.of, leak.into)]
        for table, name in (
            (self.consistency, "consistency"),
            (leaking, "leaks"),
            (self.gates, "gates"),
        ):
            for stem in table:
                if stem not in self.track.stems:
                    hint = did_you_mean(stem, list(self.track.stems))
                    raise ConfigError(f"{where}: {name} has no stem {stem!r}{hint}")
        if self.consistency_above_hz < 0:
            raise ConfigError(
                f"{where}: expected consistency_above_hz to be 0 or above, "
                f"got {self.consistency_above_hz:g}"
            )
        if self.residual and self.consistency:
            raise ConfigError(
                f"{where} has a residual, which takes all that is left, so there is nothing to "
                "share: leave out one of residual and consistency"
            )

    @property
    def undoubted(self) -> tuple[str, ...]:
        """Names of the members that are always believed, in their order."""
        return tuple(member.name for member in self.members if member.doubt is None)

    def givers(self, stem: str) -> tuple[str, ...]:
        """Names of the members that give ``stem``, in their order."""
        return tuple(member.name for member in self.members if stem in member.outputs)

    def without(self, names: Collection[str]) -> "Recipe":
        """The same recipe without some members, and without all blends that have them.

        Args:
            names: of members that are optional, or whose stems others give as well.

        Raises:
            ConfigError: what is left is no recipe.
        """
        return replace(
            self,
            members=tuple(member for member in self.members if member.name not in names),
            blends=tuple(one for one in self.blends if one.weights.keys().isdisjoint(names)),
        )

    def required(self) -> "Recipe":
        """The same recipe, none of whose members is optional."""
        return replace(
            self, members=tuple(replace(member, optional=False) for member in self.members)
        )

    def blend(self, stem: str, names: Iterable[str]) -> Blend:
        """How the answers of exactly the members ``names`` make ``stem``."""
        return blended(self.blends, stem, frozenset(names))
