"""Reads recipes: TOML files that list separators and combine their outputs into stems.

A recipe is a TOML file in demixing/recipes/ or anywhere else:

    track = "mdx"                      # or, outside the contest: stems = ["vocals", "instrumental"]
    summary = "One line for people."
    boards = ["C"]                     # leaderboards that permit the training data of its weights
    fitted_on = "23 songs"             # songs on which sdr_db below was measured; for people
    residual = "other"                 # this stem is the mixture minus the others

    [[members]]
    separator = "spleeter"             # a file in demixing/separators/
    outputs = { vocals = ["vocals"] }  # stem of the track = sum of stems of the separator

    [[members]]
    name = "filters"                   # used in blends; default: that of the separator
    separator = "hpss"
    optional = false                   # true: left out if its files do not exist
    subtract = ["vocals"]              # its input is the mixture without these stems
    outputs = { drums = ["percussive"], bass = ["low"] }
    options = { crossover_hz = 200 }   # arguments of the separator
    settings = [                       # the planner chooses the best that fits into the time
        { passes = 1 },
        { passes = 4, polarity = true, channel_swap = true, gain_db = 0.2 },
        { overlap = 0.1, gain_db = -0.01 },  # of neighbouring chunks; cheaper than the first
    ]
    doubt = { stem = "bass", least = 0.4, most = 0.6 }  # when others replace it; see doubt.py

    [[blends]]                         # how to combine the outputs of exactly these members
    stem = "vocals"
    weights = { spleeter = 0.9 }
    mixture = 0.02                     # weight of the mixture
    sdr_db = 5.1                       # measured on validation songs; the planner compares it

    consistency_above_hz = 4000        # the residual is shared above this; default 0: all of it

    [consistency]                      # shares in the residual, mixture minus stems
    drums = 0.2

    [[leaks]]                          # leakage of a loud stem into a faint one; see leak.py
    of = "bass"
    into = "drums"
    power = 0.02
    returned = true

    [gates.bass]                       # when to write exact silence; see gate.py
    midpoint_db = -35.0
    width_db = 4.0
    active_db = 1.0

Members run in the listed order. With a residual, or shares that sum to one, the stems sum to the
mixture (to float32 rounding) at any sample rate, except for leaks that are not returned. If several
members output a stem and no blend of exactly these is listed, a blend of more members is rescaled
to them; without one, they are averaged.

A member with ``optional = true`` is used if its weight files exist. Otherwise the recipe works as
if it did not contain that member and the blends that name it. A file that exists but is damaged is
an error, as for any other member. The members that are not optional must output all stems except
the residual, and a member may only subtract stems that one of these outputs before it. See
:mod:`demixing.engine.optional`.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from demixing.ensemble.blend import Blend
from demixing.ensemble.doubt import Doubt
from demixing.ensemble.gate import Gate
from demixing.ensemble.leak import Leak
from demixing.ensemble.setting import Setting
from demixing.errors import ConfigError
from demixing.plugins import did_you_mean
from demixing.recipes import old_keys, tables, tracks
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.recipes.tracks import Track

FOLDER = Path(__file__).parent

MOST_NAME = 100
"""Characters of a stem's name."""

NARROWED = {"asked", "left_out"}
"""Fields of a recipe that only :mod:`demixing.recipes.narrowing` sets."""

RECIPE_VARIABLE = "DEMIX_RECIPE"
"""Environment variable: recipe of a submission; the default is the track's."""


def names() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def default_name(track: Track) -> str:
    """Name of the default recipe of a track."""
    return f"{track.name}_default"


def load(name_or_path: str) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: a name from :func:`names`, or the path of a TOML file.

    Raises:
        ConfigError: there is no such recipe, or it is invalid.
    """
    path = FOLDER / f"{name_or_path}.toml"
    if name_or_path not in names():
        path = Path(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        hint = did_you_mean(name_or_path, names())
        raise ConfigError(f"no recipe named {name_or_path!r}, and no such file{hint}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read the recipe {path}: {error}") from error
    return parse(path.stem, table)


def parse(name: str, table: Mapping[str, Any]) -> Recipe:
    """Check a recipe's table and convert it to a :class:`Recipe`.

    Raises:
        ConfigError: a key is missing or unknown, or a value has the wrong type.
    """
    where = f"recipe {name!r}"
    tables.kind(table, dict, where)
    table = with_track(old_keys.replaced(table, where), where)
    fields = tables.checked(Recipe, {"name": name, **table}, where)
    for key in ("name", "summary", "fitted_on", "residual"):
        if key in fields:
            tables.kind(fields[key], str, f"{where}: {key}")
    if "boards" in fields:
        fields["boards"] = _names_or_none(fields["boards"], f"{where}: boards")
    return Recipe(**(fields | _lists(fields, where) | _mappings(fields, where)))


def with_track(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Replace the name of the track, or the list of stems, by a :class:`Track`.

    Raises:
        ConfigError: there is no such track, or not exactly one of both keys.
    """
    rest = {key: value for key, value in table.items() if key not in ("track", "stems")}
    for key in sorted(NARROWED & rest.keys()):
        raise ConfigError(f"{where}: no key {key!r}")
    if "stems" not in table:
        if "track" not in table:
            raise ConfigError(f"{where}: the key 'track' is missing; or list its 'stems'")
        return {
            **rest,
            "track": tracks.by_name(tables.kind(table["track"], str, f"{where}: track")),
        }
    if "track" in table:
        raise ConfigError(
            f"{where} has a track, which names its stems: leave out 'stems' or 'track'"
        )
    stems = tables.names(table["stems"], f"{where}: stems")
    for stem in stems:
        if not is_file_name(stem):
            raise ConfigError(
                f"{where}: stems become names of files; expected letters, digits and the like, "
                f"got {tables.shown(stem)}"
            )
    return {**rest, "track": tracks.of_stems(stems)}


def is_file_name(stem: str) -> bool:
    """Whether the name of a stem can be the name of a file on any system, in any folder."""
    plain = bool(stem.strip(" .")) and stem.isprintable() and len(stem) <= MOST_NAME
    return plain and not set(stem) & set('/\\:*?"<>|')


def _lists(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Convert the members, blends and leaks of a recipe's table to dataclasses."""
    kinds: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
        "members": ("member", _member),
        "blends": ("blend", _blend),
        "leaks": ("leak", lambda one, here: tables.record(Leak, one, here)),
    }
    return {
        key: tables.each(fields[key], f"{where}: {key}", f"{where}, {one}", make)
        for key, (one, make) in kinds.items()
        if key in fields
    }


def _mappings(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Check the shares of a recipe's table, and convert its gates to dataclasses."""
    result: dict[str, Any] = {}
    for key in ("consistency", "gates"):
        if key in fields:
            tables.kind(fields[key], dict, f"{where}: {key}")
    if "consistency_above_hz" in fields:
        at = f"{where}: consistency_above_hz"
        result["consistency_above_hz"] = tables.scalar(fields["consistency_above_hz"], float, at)
    if "consistency" in fields:
        result["consistency"] = tables.numbers(fields["consistency"], f"{where}: consistency")
    if "gates" in fields:
        result["gates"] = {
            stem: tables.record(Gate, gate, f"{where}: gates.{stem}")
            for stem, gate in fields["gates"].items()
        }
    return result


def _member(table: Any, where: str) -> Member:
    """Convert a table to a member, whose default name is that of its separator."""
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
        entry["subtract"] = _names_or_none(entry["subtract"], f"{where}: subtract")
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


def _names_or_none(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of distinct names, which may be empty, as a tuple."""
    return () if value == [] else tables.names(value, where)


def _blend(table: Any, where: str) -> Blend:
    """Convert a table to a blend."""
    entry = tables.checked(Blend, tables.kind(table, dict, where), where)
    weights = tables.numbers(
        tables.kind(entry["weights"], dict, f"{where}: weights"), f"{where}: weights"
    )
    return tables.record(Blend, {**entry, "weights": weights}, where)


def check_contest(recipe: Recipe) -> None:
    """Raise unless a recipe is for a track of the contest, whose stems can be scored.

    Raises:
        ConfigError: it lists other stems.
    """
    if recipe.track.name not in tracks.TRACKS:
        raise ConfigError(
            f"recipe {recipe.name!r} outputs {', '.join(recipe.track.stems)}, which is no track of "
            f"the contest: only recipes of {' and '.join(tracks.TRACKS)} can be scored or submitted"
        )


def named() -> Recipe | None:
    """Read the recipe named by the environment, if any.

    Raises:
        ConfigError: it cannot be read.
    """
    name = os.environ.get(RECIPE_VARIABLE)
    return load(name) if name else None


def default(track: Track) -> Recipe:
    """Read the default recipe of a track."""
    return load(default_name(track))


def chosen(track: Track) -> Recipe:
    """Read the recipe for a submission to ``track``.

    Raises:
        ConfigError: it cannot be read, or is for another track.
    """
    recipe = named() or default(track)
    check_contest(recipe)
    if recipe.track != track:
        raise ConfigError(
            f"recipe {recipe.name!r} is for the track {recipe.track.name!r}, "
            f"but the submission goes to {track.name!r}; change one of them"
        )
    return recipe
