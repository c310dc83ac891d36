"""The recipes as a table: stems, whether each is ready or what it needs, and its measured score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from demixing.cli import describe, systems
from demixing.engine import optional
from demixing.errors import DemixError
from demixing.machine.installation import install_command
from demixing.recipes import expected_score, reading, tracks
from demixing.recipes.member import Member
from demixing.recipes.recipe import Recipe
from demixing.weights import catalogue

HEADER = ("recipe", "track", "stems", "SDR", "state")
NONE = "-"

NOTE = (
    "SDR: mean over the stems in dB, with the members that are ready, on the songs that the recipe "
    "was fitted to."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A recipe.

    Attributes:
        name: of the recipe.
        track: of the contest; "" for other stems.
        stems: its outputs.
        boards: leaderboards that permit the training data.
        summary: one line.
        sdr_db: measured score with the members that are ready; None if it was not measured.
        ready: whether it can be used now.
        state: "ready", or what it needs, or what would improve it.
        optional: state of each optional member, by name.
    """

    name: str
    track: str
    stems: tuple[str, ...]
    boards: tuple[str, ...]
    summary: str
    sdr_db: float | None
    ready: bool
    state: str
    optional: dict[str, str]


def rows() -> Iterator[Row]:
    """Yield a row for each packaged recipe."""
    known: dict[str, str] = {}
    for name in reading.names():
        yield _row(reading.load(name), known)


def _row(recipe: Recipe, known: dict[str, str]) -> Row:
    """Describe a recipe; ``known`` has what is known of separators, since files are large."""
    for member in recipe.members:
        if _key(member) not in known:
            known[_key(member)] = _state(member)
    states = {member.name: known[_key(member)] for member in recipe.members}
    wrong = [one for one in recipe.members if states[one.name] != describe.READY]
    required = [one for one in wrong if not one.optional]
    used = recipe.without(optional.absent(recipe)) if not required else recipe
    return Row(
        name=recipe.name,
        track=recipe.track.name if recipe.track.name in tracks.TRACKS else "",
        stems=recipe.track.stems,
        boards=recipe.boards,
        summary=recipe.summary,
        sdr_db=_score_db(used),
        ready=not required,
        state=_needs(required, states) if required else _improves(wrong, states),
        optional={one.name: states[one.name] for one in recipe.members if one.optional},
    )


def _key(member: Member) -> str:
    """Equal for members with the same files."""
    return repr((member.separator, member.options))


def _state(member: Member) -> str:
    """See :func:`demixing.cli.describe.state`; also what is wrong with the catalogue."""
    try:
        return describe.state(member)
    except DemixError as error:
        return str(error)


def _score_db(recipe: Recipe) -> float | None:
    """The measured score of all members together."""
    if not expected_score.measured(recipe):
        return None
    return expected_score.score_db(recipe, expected_score.everything(recipe))


def _needs(members: Sequence[Member], states: dict[str, str]) -> str:
    """What a recipe needs to work."""
    found = remedies(members)
    return ", ".join(found) if found else states[members[0].name]


def _improves(members: Sequence[Member], states: dict[str, str]) -> str:
    """What makes a recipe better that works."""
    if not members:
        return describe.READY
    found = remedies(members) or [f"{members[0].name}: {states[members[0].name]}"]
    return f"{describe.READY}; better after {', '.join(found)}"


def remedies(members: Iterable[Member]) -> list[str]:
    """Commands that install what members lack."""
    listed = list(members)
    files = {file: member for member in listed for file in _missing(member)}
    known = list(systems.systems(catalogue.entries().values())) if len(files) > 1 else []
    wanted = {
        _of_system(file, files, known) or optional.fetched_as(one, file)
        for file, one in files.items()
    }
    commands = [f"`demixing fetch {' '.join(sorted(wanted))}`"] if wanted else []
    if any(optional.missing_packages(member) for member in listed):
        commands.append(f"`{install_command('demucs')}`")
    return commands


def _missing(member: Member) -> tuple[str, ...]:
    """Files that a member needs and that can be fetched."""
    try:
        return tuple(name for name in optional.missing(member) if not catalogue.find(name).folder)
    except DemixError:
        return ()


def _of_system(file: str, missing: Iterable[str], known: Iterable[systems.System]) -> str:
    """The name of the system of a file, if all its files are missing; otherwise ""."""
    for one in known:
        if file in one.files and len(one.files) > 1 and {*one.files} <= {*missing}:
            return one.name
    return ""


def table(found: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a table with aligned columns."""
    cells = [HEADER, *map(_cells, found)]
    *widths, _ = (max(map(len, column)) for column in zip(*cells, strict=True))
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        yield "  ".join(padded).rstrip()
    yield ""
    yield NOTE


def _cells(one: Row) -> tuple[str, ...]:
    """The cells of a recipe."""
    sdr = NONE if one.sdr_db is None else f"{one.sdr_db:.2f}"
    return (one.name, one.track or NONE, " ".join(one.stems), sdr, one.state)


def as_json(found: Iterable[Row]) -> list[dict[str, Any]]:
    """Return plain values."""
    return [asdict(one) for one in found]
