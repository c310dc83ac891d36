"""``history``: the course of the evaluations in an output folder."""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demixing.cli import arguments, board_place, check_targets, write_or_print
from demixing.errors import ConfigError
from demixing.recipes import tracks

if TYPE_CHECKING:
    from demixing.cli.console import Subparsers
    from demixing.evaluation.ledger import Entry

logger = logging.getLogger(__name__)

OTHER_SONGS = "#"
CHANGED = "+"
UNKNOWN = "-"
REVISION_DIGITS = 7
FOOTNOTES = {
    OTHER_SONGS: "other songs than in the line above: means do not compare",
    CHANGED: "files of the checkout differed from this revision",
}
CHANGE_NOTE = "change: of the mean, from the previous evaluation of the same songs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One evaluation, beside the earlier ones of its track.

    Attributes:
        entry: the evaluation.
        before: number of the previous evaluation of the same songs; None if there is none.
        change_db: change of the mean since then; None if there is none.
        other_songs: whether the previous evaluation of the track had other songs.
        place: ranks on a board in words; None if none is asked for.
    """

    entry: Entry
    before: int | None
    change_db: float | None
    other_songs: bool
    place: str | None


def add(commands: Subparsers) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "history",
        description="Print the evaluations in an output folder, newest last: a table per track, "
        "with the change of the mean since the previous evaluation of the same songs. "
        "`demixing compare @1 @2` compares two of them.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluator_outputs"),
        metavar="DIR",
        help="folder that `demixing evaluate` wrote to",
    )
    parser.add_argument(
        "--track", choices=sorted(tracks.TRACKS), help="only this track (default: all)"
    )
    parser.add_argument("--recipe", metavar="NAME", help="only this recipe (default: all)")
    parser.add_argument(
        "--last", type=int, metavar="N", help="only the newest N of a track (default: all)"
    )
    board_place.add(parser)
    arguments.add_json_file(parser)
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write the table as CSV to FILE; - prints it instead of the table (default: no file)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the history."""
    if options.last is not None and options.last < 1:
        raise ConfigError(f"expected --last to be at least 1, got {options.last}")
    check_targets(options.json, options.csv)
    from demixing.evaluation import ledger

    everything = [one for one in ledger.entries(options.output) if has_figures(one)]
    found = {
        track: found for track in tracks.TRACKS if (found := lines(everything, options, track))
    }
    if not found:
        raise ConfigError(no_match(options, bool(everything)))
    printed = [
        write_or_print(options.json, lambda: json.dumps(as_json(found), indent=2) + "\n"),
        write_or_print(options.csv, lambda: as_csv(found)),
    ]
    if not any(printed):
        print("\n".join("".join(f"{one}\n" for one in table(found[track])) for track in found))
    return 0


def has_figures(entry: Entry) -> bool:
    """Whether an entry has the figures that are shown; otherwise, warn. It may have been edited."""
    try:
        scores = entry.scores
        optional = [active_db(scores), *scores["stems_db"].values()]
        figures = [scores["mean_db"], *(one for one in optional if one is not None)]
        figures += [song["mean_db"] for song in scores.get("songs", [])]
        whole = all(isinstance(one, int | float) and math.isfinite(one) for one in figures)
    except (AttributeError, KeyError, TypeError):
        whole = False
    if not whole:
        logger.warning("entry %d has no scores and is left out", entry.number)
    return whole


def no_match(options: argparse.Namespace, some: bool) -> str:
    """Why there is nothing to show.

    Args:
        options: of the command.
        some: whether there are evaluations that the options leave out.
    """
    if not some:
        return (
            f"expected evaluations in the history of {str(options.output)!r}, found none; "
            f"`demixing evaluate --output {options.output}` adds one"
        )
    given = [f"--{name}" for name in ("track", "recipe", "board") if getattr(options, name)]
    return (
        f"expected evaluations that match {' and '.join(given)} in {str(options.output)!r}, found "
        "none; `demixing history` without options shows all"
    )


def lines(everything: Sequence[Entry], options: argparse.Namespace, track: str) -> list[Line]:
    """The evaluations of one track that the options choose, oldest first.

    Args:
        everything: all entries of the history.
        options: of the command.
        track: a key of :data:`demixing.recipes.tracks.TRACKS`.

    Raises:
        ConfigError: the chosen track has no such board.
    """
    found = [one for one in everything if one.track == track]
    if options.recipe:
        found = [one for one in found if one.recipe.get("name") == options.recipe]
    if not found or options.track not in (None, track):
        return []
    if options.board and not options.track and not has(options.board, track):
        check_any(options.board)
        return []
    board_place.check(options.board, [track])
    compared = list(compare(found, options.board))
    return compared[-options.last :] if options.last else compared


def has(board: str, track: str) -> bool:
    """Whether a track has a board of this name."""
    try:
        board_place.check(board, [track])
    except ConfigError:
        return False
    return True


def check_any(board: str) -> None:
    """Raise unless some track has a board of this name.

    Raises:
        ConfigError: none has.
    """
    if not any(has(board, track) for track in tracks.TRACKS):
        board_place.check(board, tracks.TRACKS)


def compare(found: Sequence[Entry], board: str | None) -> Iterator[Line]:
    """Yield each evaluation of a track with the change since the one before it.

    Args:
        found: evaluations of one track, oldest first.
        board: for the place; None: no place.
    """
    same: dict[object, Entry] = {}
    previous = None
    for one in found:
        songs = one.data.get("digest")
        before = same.get(songs)
        yield Line(
            entry=one,
            before=before.number if before else None,
            change_db=one.scores["mean_db"] - before.scores["mean_db"] if before else None,
            other_songs=previous is not None and previous.data.get("digest") != songs,
            place=place(one, board) if board else None,
        )
        same[songs] = previous = one


def place(entry: Entry, board: str) -> str:
    """Where an evaluation's mean would have stood."""
    from demixing.evaluation import boards, predicted_place

    means_db = board_place.means_db(entry.scores)
    return predicted_place.predicted(boards.named(board, entry.track), means_db).place.ranks


def table(found: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of one track's table."""
    from demixing.printing import aligned

    stems = list(found[0].entry.scores["stems_db"])
    header = ["no.", "when (UTC)", "recipe", "version", "songs ", "mean", "change", "active"]
    header += [*stems, "seconds", *(["rank"] if found[0].place else [])]
    rows = [cells(one, stems) for one in found]
    yield f"{found[0].entry.track.upper()}, SDR in dB"
    yield from aligned([header, *rows])
    marks = "".join(row[3] + row[4] for row in rows)
    yield from (f"{mark} {text}" for mark, text in FOOTNOTES.items() if mark in marks)
    yield CHANGE_NOTE


def cells(line: Line, stems: Sequence[str]) -> list[str]:
    """The cells of one evaluation."""
    from demixing.printing import printable

    one = line.entry
    songs = f"{one.data.get('count', UNKNOWN)}{OTHER_SONGS if line.other_songs else ' '}"
    scores = one.scores
    return [
        f"@{one.number}",
        printable(one.time[:16].replace("T", " ")),
        printable(str(one.recipe.get("name", UNKNOWN))),
        printable(version(one.versions)),
        songs,
        decibels(scores["mean_db"]),
        UNKNOWN if line.change_db is None else f"{line.change_db:+z.3f}",
        decibels(active_db(scores)),
        *(decibels(scores["stems_db"].get(stem)) for stem in stems),
        f"{one.seconds:.1f}" if one.separated else UNKNOWN,
        *([re.sub("^ranks? ", "", line.place)] if line.place else []),
    ]


def active_db(scores: Mapping[str, Any]) -> float | None:
    """The mean without silent references, from scores.json."""
    found: float | None = scores.get("active_mean", {}).get("song_db")
    return found


def decibels(score_db: float | None) -> str:
    """A score in the table."""
    return UNKNOWN if score_db is None else f"{score_db:z.3f}"


def version(versions: Mapping[str, Any]) -> str:
    """The package's version in the table, and the revision of a checkout.

    >>> version({"sound-demixing": "0.2.0", "revision": "652c4cb0123", "changed": True})
    '0.2.0 652c4cb+'
    """
    words = [str(versions.get("sound-demixing") or UNKNOWN)]
    if versions.get("revision"):
        mark = CHANGED if versions.get("changed") else ""
        words.append(f"{str(versions['revision'])[:REVISION_DIGITS]}{mark}")
    return " ".join(words)


def as_json(found: Mapping[str, Sequence[Line]]) -> list[dict[str, Any]]:
    """All that is known of each evaluation, and what the table adds."""
    return [
        {**asdict(line.entry), **{key: getattr(line, key) for key in Line.__slots__[1:]}}
        for of_track in found.values()
        for line in of_track
    ]


def as_csv(found: Mapping[str, Sequence[Line]]) -> str:
    """A row per evaluation, in the format of RFC 4180; the stems of all tracks have columns."""
    stems = dict.fromkeys(
        stem for of_track in found.values() for stem in of_track[0].entry.scores["stems_db"]
    )
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow([*COLUMNS, *stems])
    for line in (line for of_track in found.values() for line in of_track):
        scores = line.entry.scores["stems_db"]
        rows.writerow([*plain(line), *(scores.get(stem) for stem in stems)])
    return text.getvalue()


COLUMNS = (
    "number",
    "time",
    "track",
    "recipe",
    "version",
    "revision",
    "changed",
    "songs",
    "digest",
    "seconds",
    "before",
    "change_db",
    "place",
    "mean",
    "active_mean",
)


def plain(line: Line) -> list[object]:
    """The values of :data:`COLUMNS`; None is empty."""
    one = line.entry
    return [
        one.number,
        one.time,
        one.track,
        one.recipe.get("name"),
        one.versions.get("sound-demixing"),
        one.versions.get("revision"),
        one.versions.get("changed"),
        one.data.get("count"),
        one.data.get("digest"),
        one.seconds,
        line.before,
        line.change_db,
        line.place,
        one.scores["mean_db"],
        active_db(one.scores),
    ]
