"""Recipes: which separators a song goes through, and which stem each of them gives. As data.

A recipe is a TOML file in my_submission/recipes/ or anywhere else:

    track = "mdx"
    summary = "One line for people."
    residual = "other"                 # this stem gets what the others leave of the mixture

    [[members]]
    separator = "spleeter"             # a file in my_submission/separators/
    gives = { vocals = ["vocals"] }    # stem of the track = sum of stems of the separator

    [[members]]
    separator = "hpss"
    minus = ["vocals"]                 # hears the mixture without these stems
    gives = { drums = ["percussive"], bass = ["low"] }
    options = { crossover_hz = 200 }   # arguments of the separator

Members run in their order. With a residual the stems sum to the mixture (to float32 rounding), at
any rate.
"""

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from my_submission import tracks
from my_submission.errors import ConfigError
from my_submission.separators import did_you_mean
from my_submission.tracks import Track

FOLDER = Path(__file__).with_name("recipes")

RECIPE_VARIABLE = "DEMIX_RECIPE"
"""Environment variable that names the recipe of a submission; unset: the track's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One separator of a recipe.

    Attributes:
        separator: its key.
        gives: for each stem of the track that it contributes, the separator's own stems that
            sum to it.
        minus: stems of earlier members that are subtracted from the mixture it hears.
        options: arguments of the separator.
    """

    separator: str
    gives: Mapping[str, tuple[str, ...]]
    minus: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that turns a mixture into the stems of a track.

    Attributes:
        name: of the file, without its ending, unless the table has a name of its own.
        track: whose stems it gives.
        summary: one line for people.
        members: in the order in which they run.
        residual: the stem that is the mixture minus all others, or None.
    """

    name: str
    track: Track
    summary: str
    members: tuple[Member, ...]
    residual: str | None = None

    def __post_init__(self) -> None:
        given = [stem for member in self.members for stem in member.gives]
        given += [self.residual] if self.residual else []
        if sorted(given) != sorted(self.track.stems):
            raise ConfigError(
                f"recipe {self.name!r} must give each of {', '.join(self.track.stems)} once, "
                f"but gives {', '.join(given) or 'nothing'}"
            )
        known: set[str] = set()
        for member in self.members:
            if unknown := set(member.minus) - known:
                raise ConfigError(
                    f"recipe {self.name!r}: member {member.separator!r} subtracts "
                    f"{', '.join(sorted(unknown))}, which no earlier member gives"
                )
            known |= member.gives.keys()


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
    fields = _checked(Recipe, {"name": name, **table}, where)
    members = []
    for position, member in enumerate(_kind(fields["members"], list, f"{where}: members")):
        at = f"{where}, member {position + 1}"
        entry = _checked(Member, _kind(member, dict, at), at)
        gives = _kind(entry["gives"], dict, f"{at}: gives")
        members.append(
            Member(
                separator=_kind(entry["separator"], str, f"{at}: separator"),
                gives={stem: _names(gives[stem], f"{at}: gives.{stem}") for stem in gives},
                minus=_names(entry["minus"], f"{at}: minus") if entry.get("minus") else (),
                options=dict(_kind(entry.get("options", {}), dict, f"{at}: options")),
            )
        )
    for key in ("name", "track", "summary", "residual"):
        if key in fields:
            _kind(fields[key], str, f"{where}: {key}")
    track = tracks.by_name(fields["track"])
    return Recipe(**{**fields, "track": track, "members": tuple(members)})


def chosen(track: Track) -> Recipe:
    """Read the recipe of a submission to ``track``.

    Raises:
        ConfigError: it cannot be read, or is for another track.
    """
    recipe = load(os.environ.get(RECIPE_VARIABLE) or default_name(track))
    if recipe.track != track:
        raise ConfigError(
            f"recipe {recipe.name!r} is for the track {recipe.track.name!r}, "
            f"but the submission goes to {track.name!r}; change one of them"
        )
    return recipe


def _checked(kind: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ``table`` if its keys are the fields of the dataclass ``kind``."""
    fields = {field_.name: field_ for field_ in dataclasses.fields(kind)}
    for key in table:
        if key not in fields:
            raise ConfigError(f"{where}: no key {key!r}{did_you_mean(key, sorted(fields))}")
    for key, field_ in fields.items():
        required = (
            field_.default is dataclasses.MISSING and field_.default_factory is dataclasses.MISSING
        )
        if required and key not in table:
            raise ConfigError(f"{where}: the key {key!r} is missing")
    return dict(table)


def _names(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of names as a tuple, if it has at least one and none twice."""
    names = tuple(_kind(name, str, f"each of {where}") for name in _kind(value, list, where))
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"{where} must name at least one stem and none twice, got {value!r}")
    return names


def _kind(value: Any, kind: type, where: str) -> Any:
    """Return ``value`` if it is of ``kind``."""
    if not isinstance(value, kind):
        raise ConfigError(f"{where} must be a {kind.__name__}, got {value!r}")
    return value
