"""Recipes: which separators a song goes through, and which stem each of them gives. As data.

A recipe is a TOML file in demixing/recipes/ or anywhere else:

    track = "mdx"
    summary = "One line for people."
    boards = ["C"]                     # that admit the data on which its weights were trained
    residual = "other"                 # this stem gets what the others leave of the mixture

    [[members]]
    separator = "spleeter"             # a file in demixing/separators/
    outputs = { vocals = ["vocals"] }  # stem of the track = sum of stems of the separator

    [[members]]
    name = "filters"                   # if not that of the separator; the blends speak of it
    separator = "hpss"
    optional = false                   # true: left out where its files do not exist
    subtract = ["vocals"]              # hears the mixture without these stems
    outputs = { drums = ["percussive"], bass = ["low"] }
    options = { crossover_hz = 200 }   # arguments of the separator
    settings = [                       # the planner takes the best that there is time for
        { passes = 1 },
        { passes = 4, polarity = true, channel_swap = true, gain_db = 0.2 },
    ]
    doubt = { stem = "bass", least = 0.4, most = 0.6 }  # when the others count in its place;
                                       # see doubt.py

    [[blends]]                         # what to make of exactly these members' answers
    stem = "vocals"
    weights = { spleeter = 0.9 }
    mixture = 0.02                     # the mixture's own weight
    sdr_db = 5.1                       # measured on validation songs; decides what is planned

    consistency_above_hz = 4000        # only what they leave above it is shared; 0 or none: all

    [consistency]                      # shares in what the stems leave of the mixture
    drums = 0.2

    [[leaks]]                          # what a loud stem leaks into a faint one; see leak.py
    of = "bass"
    into = "drums"
    power = 0.02
    returned = true

    [gates.bass]                       # when to write exact silence; see gate.py
    midpoint_db = -35.0
    width_db = 4.0
    active_db = 1.0

Members run in their order, unless the planner knows a better one. With a residual, or shares that
sum to one, the stems sum to the mixture (to float32 rounding), at any rate, but for leaks that are
not returned. Where several members
give a stem and no blend of them is listed, one of more members stands in, scaled; or else their
mean.

A member with ``optional = true`` is used if its files of weights exist. If one does not, the recipe
works as if that member, and all blends that name it, were not written down. A file that exists but
is damaged is an error, as for any other member. The members that are not optional must give every
stem but the residual, and a member may subtract only stems that one of them gives before it. See
:mod:`demixing.recipes.optional`.
"""

import os
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from demixing import tracks
from demixing.ensemble.blend import Blend, blended
from demixing.ensemble.doubt import Doubt
from demixing.ensemble.gate import Gate
from demixing.ensemble.leak import Leak
from demixing.ensemble.setting import Setting
from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.recipes import old_keys, tables
from demixing.tracks import Track

FOLDER = Path(__file__).parent

RECIPE_VARIABLE = "DEMIX_RECIPE"
"""Environment variable that names the recipe of a submission; unset: the track's default."""


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


def names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def default_name(track: Track) -> str:
    """Name of the recipe that a track uses if nobody chose one."""
    return f"{track.name}_default"


def load(name_or_path: str) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: a name from :func:`names`, or the path of a TOML file.

    Raises:
        ConfigError: there is no such recipe, or it is not as the module describes.
    """
    path = FOLDER / f"{name_or_path}.toml"
    if name_or_path not in names():
        path = Path(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = did_you_mean(name_or_path, names())
        raise ConfigError(f"no recipe named {name_or_path!r}, and no such file{hint}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}") from error
    return parse(path.stem, table)


def parse(name: str, table: Mapping[str, Any]) -> Recipe:
    """Check a recipe's table and make a :class:`Recipe` of it.

    Raises:
        ConfigError: a key is missing, unknown or of the wrong kind.
    """
    where = f"recipe {name!r}"
    table = old_keys.replaced(table, where)
    fields = tables.checked(Recipe, {"name": name, **table}, where)
    for key in ("name", "track", "summary", "residual"):
        if key in fields:
            tables.kind(fields[key], str, f"{where}: {key}")
    fields["track"] = tracks.by_name(fields["track"])
    if fields.get("boards"):
        fields["boards"] = tables.names(fields["boards"], f"{where}: boards")
    fields["members"] = tables.each(
        fields["members"], f"{where}: members", f"{where}, member", _member
    )
    if "blends" in fields:
        fields["blends"] = tables.each(
            fields["blends"], f"{where}: blends", f"{where}, blend", _blend
        )
    if "leaks" in fields:
        fields["leaks"] = tables.each(
            fields["leaks"],
            f"{where}: leaks",
            f"{where}, leak",
            lambda one, here: tables.record(Leak, one, here),
        )
    for key in ("consistency", "gates"):
        if key in fields:
            tables.kind(fields[key], dict, f"{where}: {key}")
    if "consistency_above_hz" in fields:
        fields["consistency_above_hz"] = tables.scalar(
            fields["consistency_above_hz"], float, f"{where}: consistency_above_hz"
        )
    if "consistency" in fields:
        fields["consistency"] = tables.numbers(fields["consistency"], f"{where}: consistency")
    if "gates" in fields:
        at = f"{where}: gates."
        fields["gates"] = {
            stem: tables.record(Gate, gate, at + stem) for stem, gate in fields["gates"].items()
        }
    return Recipe(**fields)


def _member(table: Any, where: str) -> Member:
    """Make a member of its table; it is named after its separator unless it says otherwise."""
    entry = dict(tables.kind(table, dict, where))
    entry.setdefault("name", entry.get("separator"))
    entry = tables.checked(Member, entry, where)
    for key in ("separator", "name"):
        tables.kind(entry[key], str, f"{where}: {key}")
    outputs = tables.kind(entry["outputs"], dict, f"{where}: outputs")
    entry["outputs"] = {
        stem: tables.names(outputs[stem], f"{where}: outputs.{stem}") for stem in outputs
    }
    if "subtract" in entry:
        entry["subtract"] = (
            tables.names(entry["subtract"], f"{where}: subtract") if entry["subtract"] else ()
        )
    tables.kind(entry.get("options", {}), dict, f"{where}: options")
    tables.kind(entry.get("optional", False), bool, f"{where}: optional")
    if "settings" in entry:
        at = f"{where}: settings"
        entry["settings"] = tables.each(
            entry["settings"],
            at,
            f"{where}, setting",
            lambda one, here: tables.record(Setting, one, here),
        )
        if not entry["settings"]:
            raise ConfigError(f"{at} must have at least one entry, or be left out")
    if "doubt" in entry:
        entry["doubt"] = tables.record(Doubt, entry["doubt"], f"{where}: doubt")
    return Member(**entry)


def _blend(table: Any, where: str) -> Blend:
    """Make a blend of its table."""
    entry = tables.checked(Blend, tables.kind(table, dict, where), where)
    weights = tables.numbers(
        tables.kind(entry["weights"], dict, f"{where}: weights"), f"{where}: weights"
    )
    return tables.record(Blend, {**entry, "weights": weights}, where)


def named() -> Recipe | None:
    """Read the recipe that the environment names, if any.

    Raises:
        ConfigError: it cannot be read.
    """
    name = os.environ.get(RECIPE_VARIABLE)
    return load(name) if name else None


def default(track: Track) -> Recipe:
    """Read the recipe of a track for which nobody chose one."""
    return load(default_name(track))


def chosen(track: Track) -> Recipe:
    """Read the recipe of a submission to ``track``.

    Raises:
        ConfigError: it cannot be read, or is for another track.
    """
    recipe = named() or default(track)
    if recipe.track != track:
        raise ConfigError(
            f"recipe {recipe.name!r} is for the track {recipe.track.name!r}, "
            f"but the submission goes to {track.name!r}; change one of them"
        )
    return recipe
