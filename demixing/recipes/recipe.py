"""The recipe: separators for a song, and how their outputs are combined into stems.

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
from demixing.recipes.tracks import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One separator of a recipe.

    Attributes:
        name: unique within the recipe.
        separator: name of the separator.
        outputs: for each stem of the track that it outputs, the separator's stems that are summed.
        subtract: stems of earlier members that are subtracted from its input, the mixture.
        options: arguments of the separator.
        settings: at least one.
        doubt: when to ignore this member in favour of earlier ones; None: never.
        optional: whether it is left out if its files are missing. Not part of the ``repr``, which
            identifies a recipe in caches and runs, because it does not change the output.
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
    """How a mixture becomes the stems of a track.

    Attributes:
        name: file name without extension, unless the table has a name of its own.
        track: defines the stems.
        summary: one-line description, shown by `demixing list`.
        boards: leaderboards that permit the training data of its weights.
        members: in the order in which they run, unless the planner finds a better one.
        blends: how the members' outputs for a stem are combined.
        residual: the stem that is the mixture minus all others, or None.
        consistency: share of each stem in the residual, mixture minus stems.
        consistency_above_hz: only the residual above this frequency is shared; 0: all of it.
        leaks: leakage between stems, removed last.
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
        self._check_stems(where)
        self._check_names(where)
        self._check_subtract(where)
        self._check_doubts(where)
        self._check_blends(where)
        self._check_tables(where)

    def _check_stems(self, where: str) -> None:
        """Raise unless the members output all stems, with or without optional ones."""
        given = {stem for member in self.members for stem in member.outputs}
        if self.residual in given or given | {self.residual} - {None} != {*self.track.stems}:
            residual = f", and {self.residual} is the residual" if self.residual else ""
            raise ConfigError(
                f"{where} must output every stem of the track ({', '.join(self.track.stems)}), and "
                "no member may output the residual; its members output "
                f"{', '.join(sorted(given)) or 'nothing'}{residual}"
            )
        required = {
            stem for member in self.members if not member.optional for stem in member.outputs
        }
        if alone := given - required:
            raise ConfigError(
                f"{where}: only optional members output {', '.join(sorted(alone))}; add a required "
                "member that outputs it"
            )

    def _check_names(self, where: str) -> None:
        """Raise unless the boards exist and the members' names are unique."""
        for board in self.boards:
            if board not in self.track.boards:
                raise ConfigError(
                    f"{where}: the track {self.track.name!r} has the boards "
                    f"{', '.join(self.track.boards)}, got {board!r}"
                )
        names = [member.name for member in self.members]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{where} has two members named {name!r}; rename one")

    def _check_subtract(self, where: str) -> None:
        """Raise unless members subtract stems of earlier ones, with or without optional ones."""
        known: set[str] = set()
        required: set[str] = set()
        for member in self.members:
            subtracts = f"{where}: member {member.name!r} subtracts"
            if unknown := set(member.subtract) - known:
                raise ConfigError(
                    f"{subtracts} {', '.join(sorted(unknown))}, which no earlier member outputs"
                )
            if optional := set(member.subtract) - required:
                raise ConfigError(
                    f"{subtracts} {', '.join(sorted(optional))}, which only optional members "
                    "output before it; let one that is not optional output it before"
                )
            known |= member.outputs.keys()
            required |= set() if member.optional else member.outputs.keys()

    def _check_doubts(self, where: str) -> None:
        """Raise unless members that may be doubted come after all members that can replace them."""
        for number, member in enumerate(self.members):
            if member.doubt is None:
                continue
            if self.residual:
                raise ConfigError(
                    f"{where} has a residual, so no member may be doubted: the residual is what "
                    f"the others leave before {member.name!r} runs; use consistency instead"
                )
            if member.doubt.stem not in member.outputs:
                raise ConfigError(
                    f"{where}: member {member.name!r} is doubted for its {member.doubt.stem!r}, "
                    "which it does not output"
                    f"{did_you_mean(member.doubt.stem, list(member.outputs))}"
                )
            for later in self.members[number + 1 :]:
                _check_order(where, member, later)

    def _check_blends(self, where: str) -> None:
        """Raise unless blends have weights for members that output their stem."""
        for blend in self.blends:
            givers = self.members_for(blend.stem)
            for name in blend.weights:
                if name not in givers:
                    raise ConfigError(
                        f"{where}: a blend of {blend.stem!r} has a weight for {name!r}, which does "
                        f"not output it{did_you_mean(name, list(givers))}"
                    )

    def _check_tables(self, where: str) -> None:
        """Raise unless shares, leaks and gates name stems of the track, and shares are usable."""
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
                f"{where} has a residual, which is everything that is left, so there is nothing "
                "to share: leave out one of residual and consistency"
            )

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
        )

    def required(self) -> "Recipe":
        """The same recipe with all members required."""
        return replace(
            self, members=tuple(replace(member, optional=False) for member in self.members)
        )

    def blend(self, stem: str, names: Iterable[str]) -> Blend:
        """The blend of the outputs of exactly the members ``names`` for ``stem``."""
        return blended(self.blends, stem, frozenset(names))


def _check_order(where: str, doubted: Member, later: Member) -> None:
    """Raise unless a member may follow one that may be doubted."""
    if both := sorted(later.outputs.keys() & doubted.outputs.keys()):
        raise ConfigError(
            f"{where}: member {doubted.name!r} may be doubted, so it must come after every member "
            f"that outputs the same stems; {later.name!r} also outputs {both[0]!r}; move "
            f"{doubted.name!r} below it"
        )
    if later.doubt is None:
        raise ConfigError(
            f"{where}: member {doubted.name!r} may be doubted, so it must come after all members "
            f"without a doubt table; {later.name!r} follows; move {doubted.name!r} below it"
        )
