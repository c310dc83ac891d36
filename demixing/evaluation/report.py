"""A summary -> a table for people, JSON for programs, CSV for spreadsheets.

All three sort the songs by name, and have the stems in the leaderboard's order. Song names are
names of folders, so they may contain anything.
"""

import csv
import io
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from demixing import atomic
from demixing.errors import EvaluationError
from demixing.evaluation.metrics import Metric
from demixing.evaluation.scoring import NEARLY_SILENT_DBFS, SongScore
from demixing.evaluation.summary import Figures, Summary

MEAN = "MEAN"
ACTIVE_MEAN = "MEAN, active"
ACTIVE_MEDIAN = "MEDIAN, active"
"""Rows below the songs; the first is the leaderboard's."""

SILENT = "*"
NEARLY_SILENT = "~"
FOOTNOTES = {
    SILENT: "silent reference: any sound in the estimate costs tens of dB",
    NEARLY_SILENT: f"nearly silent reference, RMS below {NEARLY_SILENT_DBFS:g} dBFS: "
    "any leakage into its estimate costs tens of dB",
}
ACTIVE_NOTE = f"active: without the scores marked {SILENT} or {NEARLY_SILENT}"
OMITTED = "!"
"""Marks the mean of a song that was separated without part of the recipe."""


class Omission(TypedDict):
    """A member that is missing from a song.

    Attributes:
        member: name in the recipe; empty if no member returned anything.
        part: share of the song without it, above 0; 1 is all of it.
        reason: why, in a few words.
    """

    member: str
    part: float
    reason: str


def text_table(
    summary: Summary, metric: Metric, omissions: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Format scores as a table, one line per song.

    Args:
        summary: the scores.
        metric: metric of the scores.
        omissions: members missing from each song, each in a few words.

    Returns:
        Lines that end with a newline: metric, column titles, songs, means, footnotes.
    """
    stems = list(summary.stems_db)
    affected = {name: omitted for name, omitted in (omissions or {}).items() if omitted}
    rows = [["song", "mean", *stems]]
    for song in summary.songs:
        mean = _cell(song.mean_db, OMITTED if song.name in affected else " ")
        cells = [_cell(song.stems_db[stem], _mark(song, stem)) for stem in stems]
        rows.append([printable(song.name), mean, *cells])
    for name, figures in _below(summary).items():
        numbers_db = [figures.song_db, *(figures.stems_db[stem] for stem in stems)]
        rows.append([name, *(_cell(number_db) for number_db in numbers_db)])

    # Every number has room for a mark after it, so titles and unmarked numbers get a space.
    rows[0][1:] = [f"{title} " for title in rows[0][1:]]
    lines = [f"{metric.title} ({metric.definition}), dB", *aligned(rows)]
    lines += [*_footnotes(summary), *_omitted(affected, len(summary.songs))]
    return "".join(f"{line}\n" for line in lines)


def _below(summary: Summary) -> dict[str, Figures]:
    """The rows below the songs, by name."""
    return {
        MEAN: Figures(summary.mean_db, summary.stems_db),
        ACTIVE_MEAN: summary.active_mean,
        ACTIVE_MEDIAN: summary.active_median,
    }


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align rows of cells, the first column to the left and the others to the right."""
    widths = [max(columns(cell) for cell in cells) for cells in zip(*rows, strict=True)]
    for row in rows:
        song_cell = row[0] + " " * (widths[0] - columns(row[0]))
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join([song_cell, *numbers]).rstrip()


def _mark(song: SongScore, stem: str) -> str:
    """The mark after the score of a stem; a space if its reference is active."""
    if stem in song.silent:
        return SILENT
    return NEARLY_SILENT if stem in song.nearly_silent else " "


def _footnotes(summary: Summary) -> Iterator[str]:
    """Explain the marks in the table."""
    marks = {_mark(song, stem) for song in summary.songs for stem in summary.stems_db}
    notes = [f"{mark} {note}" for mark, note in FOOTNOTES.items() if mark in marks]
    yield from notes
    if notes:
        yield ACTIVE_NOTE


def _omitted(affected: Mapping[str, Sequence[str]], songs: int) -> Iterator[str]:
    """Lines about songs that were separated without a member.

    Args:
        affected: what is missing, by song.
        songs: total number of songs.
    """
    for name, omitted in sorted(affected.items()):
        yield f"{OMITTED} {printable(name)}: {printable('; '.join(omitted))}"
    if affected:
        were = "was" if len(affected) == 1 else "were"
        yield f"{len(affected)} of {songs} songs {were} separated without part of the recipe"


def json_report(
    summary: Summary,
    metric: Metric,
    omissions: Mapping[str, Sequence[Omission]] | None = None,
) -> str:
    """Format everything as one JSON object.

    Args:
        summary: the scores.
        metric: metric of the scores.
        omissions: members missing from each song; None if that is not known.
    """
    report = {
        "metric": {
            "name": metric.name,
            "title": metric.title,
            "definition": metric.definition,
        },
        "track": summary.track,
        "mean_db": summary.mean_db,
        "stems_db": dict(summary.stems_db),
        "active_mean": _figures(summary.active_mean),
        "active_median": _figures(summary.active_median),
        "songs": [
            _song(song)
            | ({} if omissions is None else {"omissions": list(omissions.get(song.name, ()))})
            for song in summary.songs
        ],
    }
    return json.dumps(report, indent=2, allow_nan=False) + "\n"


def _figures(figures: Figures) -> dict[str, object]:
    """One row below the songs for JSON; null where no reference is active."""
    return {"song_db": figures.song_db, "stems_db": dict(figures.stems_db)}


def _song(song: SongScore) -> dict[str, object]:
    """One song for JSON, which has no infinity, so the level of silence is null."""
    return {
        "name": song.name,
        "mean_db": song.mean_db,
        "stems_db": dict(song.stems_db),
        "active_mean_db": song.active_mean_db,
        "silent_references": list(song.silent),
        "nearly_silent_references": list(song.nearly_silent),
        "reference_levels_dbfs": {
            stem: level_dbfs if math.isfinite(level_dbfs) else None
            for stem, level_dbfs in song.levels_dbfs.items()
        },
        "sample_rate_hz": song.layout.sample_rate_hz,
        "channels": song.layout.channels,
        "samples": song.layout.samples,
    }


def csv_report(summary: Summary, omissions: Mapping[str, Sequence[str]] | None = None) -> str:
    """A row per song and the means below, in the format of RFC 4180.

    After the scores come the stems whose reference is silent or nearly silent, separated by spaces,
    and the level of each reference in dBFS, which is empty for silence.

    Args:
        summary: the scores.
        omissions: members missing from each song, each in a few words; None if that is not known,
            which leaves the column out.
    """
    stems = list(summary.stems_db)
    header = ["song", "mean", *stems, "silent", "nearly_silent"]
    header += [f"{stem}_dbfs" for stem in stems]
    header += [] if omissions is None else ["omissions"]
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(header)
    for song in summary.songs:
        cells = [song.name, *_decimals([song.mean_db, *(song.stems_db[stem] for stem in stems)])]
        cells += [" ".join(song.silent), " ".join(song.nearly_silent)]
        cells += _decimals(song.levels_dbfs[stem] for stem in stems)
        cells += [] if omissions is None else ["; ".join(omissions.get(song.name, ()))]
        rows.writerow(cells)
    for name, figures in _below(summary).items():
        cells = [name, *_decimals([figures.song_db, *(figures.stems_db[stem] for stem in stems)])]
        rows.writerow(cells + [""] * (len(header) - len(cells)))
    return text.getvalue()


def check_writable(path: Path) -> None:
    """Raise if a report cannot be written to ``path``; call it before long work.

    Raises:
        EvaluationError: its folder does not exist, or it is not a regular file.
    """
    with _errors_about(path):
        if not path.parent.is_dir():
            raise EvaluationError(
                f"expected a folder at {str(path.parent)!r} to write {path.name!r} into, "
                "found none; create it"
            )
        # Replacing a device such as /dev/null with a file would harm the whole machine.
        if path.exists() and not path.is_file():
            raise EvaluationError(
                f"expected the path of a file for a report, got {str(path)!r}, which is a "
                "folder or a device; name a file"
            )


def write_report(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all.

    Args:
        path: is replaced if it exists.
        text: contents; line endings are kept.

    Raises:
        EvaluationError: it cannot be written.
    """
    check_writable(path)
    with _errors_about(path):
        target = path.resolve()  # a link stays a link
        # Folder names need not be UTF-8; Python marks such bytes as lone surrogates.
        atomic.write_text(target, text, errors="backslashreplace", newline="")


@contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    """Convert errors of the file system into :class:`EvaluationError`."""
    try:
        yield
    except OSError as error:
        raise EvaluationError(
            f"cannot write {str(path)!r} ({error.strerror}); choose another path"
        ) from error


def printable(name: str) -> str:
    r"""Escape unprintable characters, so that a name fits on one line and stays unique.

    >>> print(printable("two\nlines, 100 %"))
    two\nlines, 100 %
    """
    return "".join(
        char
        if char.isprintable() and char != "\\"
        else char.encode("unicode_escape").decode("ascii")
        for char in name
    )


def columns(text: str) -> int:
    """Width of printable text in a terminal, in characters.

    >>> columns("song"), columns("曲")
    (4, 2)
    """
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _cell(score_db: float | None, mark: str = " ") -> str:
    """A score in the table, followed by a mark."""
    return f"{'-' if score_db is None else f'{score_db:z.3f}'}{mark}"


def _decimals(numbers: Iterable[float | None]) -> list[str]:
    """Numbers for the CSV; empty if there is none, or it is infinite."""
    return ["" if number is None or math.isinf(number) else f"{number:z.6f}" for number in numbers]
